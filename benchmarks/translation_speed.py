"""Speed of training a translator and of translating, compared with the same network in PyTorch.

    python benchmarks/translation_speed.py --train train.en train.de --valid val.en val.de --checkpoint m.safetensors

Both do the same work on the same batches (pairs of similar length, padded to the same lengths, masked), from the same
initial parameters: embeddings, an LSTM in both directions, one with additive attention, readout, a softmax with tied
weights; Adam, clipping by global norm, float32, no dropout; each fetches the loss of every step. First the losses of
the first steps and the translations of some sentences are compared. Each runs in its own process, and they take turns:
in each round, each makes the same training steps, and translates the same sentences with a beam of 5.

PyTorch is run at its best: with one and two threads, its encoder on packed sequences and with the sentences reversed by
an index; everything that does not depend on the step before is computed for all steps at once. Its beam search is the
package's own, which keeps few numbers on the host, with PyTorch's step: `log_softmax` and `topk`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LEARNING_RATE, CLIP_NORM, BEAM_SIZE = 0.002, 1.0, 5
NUM_CHECKED = 3
NUM_BATCHES, NUM_TRANSLATED = 48, 1_014
GATES = {"gru": "rzn", "lstm": "ifgo"}  # of PyTorch


def prepare(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Write the batches, sentences and initial parameters for everybody. Returns the sizes."""
    import dataclasses

    from theano_rnn.settings.network import TranslationConfig
    from theano_rnn.tasks.pair_batches import PairBatches
    from theano_rnn.tasks.translate import Translate
    from theano_rnn.tasks.translation_model import TranslationModel

    task = Translate()
    sections = {name: section() for name, section in task.sections.items()}
    corpus = dataclasses.replace(sections["corpus"], train=tuple(args.train), valid=tuple(args.valid),
                                 vocab_size=args.vocab_size)  # fmt: skip
    text = dataclasses.replace(sections["text"], unit="subword", sentences="line")
    data = task.read({**sections, "corpus": corpus, "text": text})
    source, target = data.facts["source_vocabulary"], data.facts["vocabulary"]
    sizes: dict[str, Any] = {"source_vocab_size": source.vocab_size, "vocab_size": target.vocab_size}
    sizes |= {"embedding_size": args.embedding_size, "hidden_size": args.hidden_size, "cell": args.cell}
    model = TranslationModel(TranslationConfig(**sizes), rng=np.random.default_rng(1))
    batches = PairBatches(data.parts["train"], batch_size=args.batch_size, start_id=target.bos_id,
                          source_pad_id=source.pad_id, pad_id=target.pad_id, rng=np.random.default_rng(1))  # fmt: skip
    if args.checkpoint:  # of the same vocabularies and sizes
        from theano_rnn.translator import Translator

        model = Translator(args.checkpoint).model
    arrays = {f"param/{name}": param.get_value() for name, param in model.params.items()}
    if not args.checkpoint:
        arrays["param/embedding"] = 5 * arrays["param/embedding"]  # or the losses would hardly depend on the rest
    for number in range(min(NUM_BATCHES, len(batches))):
        arrays |= {f"batch{number}/{i}": array for i, array in enumerate(batches[number].arrays)}
    valid = data.parts["valid"]
    arrays |= {"source": valid.source, "source_lengths": valid.source_lengths[:NUM_TRANSLATED]}
    np.savez(path, **arrays)
    ids = {"start_id": target.bos_id, "end_id": target.eos_id, "source_pad_id": source.pad_id}
    return {"sizes": sizes, "search": {**ids, "vocab_size": target.vocab_size, "banned_ids": [target.unk_id]}}


def sentences_of(file: Any) -> list[Any]:
    lengths = file["source_lengths"]
    return np.split(file["source"][: lengths.sum()], np.cumsum(lengths)[:-1])


def searched(compiled: Any, search: dict[str, Any], sentences: list[Any]) -> list[tuple[int, ...]]:
    """Translate sentences with the functions `encode` and `search_step` of `compiled`. Returns the ids of each."""
    from theano_rnn.generation.hypotheses import SearchRules
    from theano_rnn.generation.translating import translate

    found = translate(compiled, sentences, rules=SearchRules(beam_size=BEAM_SIZE), dtype="float32", **search)
    return [each[0].ids for each in found]


def ours(spec: dict[str, Any], file: Any) -> tuple[Any, Any]:
    """Returns the package's functions: train, of the arrays of a batch, and compiled, of a name."""
    from theano_rnn.engine.allocator import keep_freed_memory
    from theano_rnn.settings.network import TranslationConfig
    from theano_rnn.tasks.translation_model import TranslationModel

    keep_freed_memory()  # as the commands do
    model = TranslationModel(TranslationConfig(**spec["sizes"]), rng=np.random.default_rng(1))
    for name, param in model.params.items():
        param.set_value(file[f"param/{name}"])
    model.num_top = 2 * BEAM_SIZE
    functions = model.compile(
        "train", "encode", "search_step", engine=spec["engine"], optimizer="adam", clip_norm=CLIP_NORM
    )
    rate = np.float32(LEARNING_RATE)
    return lambda batch: float(functions.train(*batch, rate)[0]), lambda name: getattr(functions, name)


def pytorch(spec: dict[str, Any], file: Any) -> tuple[Any, Any]:
    """Returns PyTorch's functions: train, of the arrays of a batch, and compiled, of a name."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    from theano_rnn.nn.cells import CELLS

    sizes = spec["sizes"]
    size, embedding_size, vocab = sizes["hidden_size"], sizes["embedding_size"], sizes["vocab_size"]
    p = {name.removeprefix("param/"): torch.from_numpy(file[name].copy()) for name in file if name[:6] == "param/"}
    kind, num_gates = sizes["cell"], len(GATES[sizes["cell"]])
    own = "".join("g" if name[0] == "c" else name[0] for name in CELLS[kind].GATES)
    order = [own.index(gate) for gate in GATES[kind]]

    def reordered(value: Any) -> Any:
        blocks = value.chunk(num_gates, dim=-1)
        return torch.cat([blocks[i] for i in order], dim=-1)

    def fill(module: Any, place: str, suffix: str, extra: Any = None) -> None:
        W_xh = p[f"{place}.W_xh"] if extra is None else torch.cat([p[f"{place}.W_xh"], extra])
        values = {"weight_ih": reordered(W_xh).T, "weight_hh": reordered(p[f"{place}.W_hh"]).T,
                  "bias_ih": reordered(p[f"{place}.b_h"])}  # fmt: skip
        bias = torch.zeros(num_gates * size)
        if kind == "gru":
            bias[2 * size :] = p[f"{place}.b_hn"]
        for name, value in {**values, "bias_hh": bias}.items():
            getattr(module, name + suffix).data.copy_(value)

    is_packed = spec["is_packed"]
    source_embedding = nn.Embedding.from_pretrained(p["source_embedding"], freeze=False)
    embedding = nn.Embedding.from_pretrained(p["embedding"], freeze=False)
    layer, cell = (nn.GRU, nn.GRUCell) if kind == "gru" else (nn.LSTM, nn.LSTMCell)
    forward = layer(embedding_size, size, bidirectional=is_packed)
    backward = None if is_packed else layer(embedding_size, size)
    fill(forward, "encoder.forward0", "_l0")
    fill(forward if is_packed else backward, "encoder.backward0", "_l0_reverse" if is_packed else "_l0")
    decoder = cell(embedding_size + 2 * size, size)
    fill(decoder, "decoder.layer0", "", p["decoder.layer0.W_ch"])
    linears = {}
    for name, weight, bias in (("start", "W_s", "b_s"), ("keys", "decoder.layer0.W_k", None),
                               ("query", "decoder.layer0.W_q", None)):  # fmt: skip
        linears[name] = nn.Linear(*p[weight].shape, bias=bias is not None)
        linears[name].weight.data.copy_(p[weight].T)
        if bias is not None:
            linears[name].bias.data.copy_(p[bias])
    linears["readout"] = nn.Linear(embedding_size + 3 * size, embedding_size)
    linears["readout"].weight.data.copy_(torch.cat([p["W_ry"], p["W_rh"], p["W_rc"]]).T)
    linears["readout"].bias.data.copy_(p["b_r"])
    energy = nn.Parameter(p["decoder.layer0.v_a"])
    output_bias = nn.Parameter(p["b_y"])
    modules = [source_embedding, embedding, forward, decoder, *linears.values()] + ([backward] if backward else [])
    named = [pair for module in modules for pair in module.named_parameters()]
    for name, param in named:  # we have one bias; a GRU needs a second one
        param.requires_grad_(kind == "gru" or not name.startswith("bias_hh"))
    params = [param for _, param in named if param.requires_grad] + [energy, output_bias]
    optimizer = torch.optim.Adam(params, lr=LEARNING_RATE, fused=True)

    def read(source: Any, mask: Any) -> tuple[Any, ...]:
        x, lengths = source_embedding(source), mask.sum(0).clamp(min=1).long()
        if is_packed:
            packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
            memory, _ = pad_packed_sequence(forward(packed)[0], total_length=len(x))
        else:
            steps = torch.arange(len(x))[:, None]
            index = torch.where(steps < lengths, lengths - 1 - steps, steps)[:, :, None]  # each sentence reversed
            reverse, _ = backward(torch.gather(x, 0, index.expand_as(x)))
            memory = torch.cat([forward(x)[0], torch.gather(reverse, 0, index.expand_as(reverse))], dim=2)
            memory = memory * mask[:, :, None]
        state = torch.tanh(linears["start"](memory.sum(0) / lengths[:, None])).split(size, dim=1)
        memory = memory.transpose(0, 1)  # (batch, positions, size): bmm then reads it as it is
        bias = ((1 - mask) * -1e9).T
        return *state, linears["keys"](memory), memory, bias

    def attend(y_t: Any, state: Any, keys: Any, memory: Any, bias: Any) -> tuple[Any, Any]:
        energies = torch.tanh(keys + linears["query"](state[0])[:, None]) @ energy
        weights = torch.softmax(energies + bias, dim=1)
        c = torch.bmm(weights[:, None], memory)[:, 0]
        x_t = torch.cat([y_t, c], dim=1)
        return (decoder(x_t, tuple(state)) if kind == "lstm" else (decoder(x_t, state[0]),)), c

    def train(batch: Any) -> float:
        source, source_mask, tokens, targets, mask = batch
        optimizer.zero_grad()
        *state, keys, memory, bias = read(source, source_mask)
        y = embedding(tokens)
        states, contexts = [], []
        for y_t in y:
            state, c = attend(y_t, state, keys, memory, bias)
            states.append(state[0])
            contexts.append(c)
        r = torch.tanh(linears["readout"](torch.cat([y, torch.stack(states), torch.stack(contexts)], dim=2)))
        scores = nn.functional.linear(r.flatten(0, 1), embedding.weight[:vocab], output_bias)
        losses = nn.functional.cross_entropy(scores, targets.flatten(), reduction="none")
        loss = (losses * mask.flatten()).sum() / mask.sum()
        loss.backward()
        nn.utils.clip_grad_norm_(params, CLIP_NORM)
        optimizer.step()
        return loss.item()

    @torch.inference_mode()
    def encode(source: Any, mask: Any, columns: Any) -> list[Any]:
        *state, keys, memory, bias = read(torch.from_numpy(source.astype("int64")), torch.from_numpy(mask))
        rows = torch.from_numpy(columns.astype("int64"))
        context = (each.transpose(0, 1)[:, rows] for each in (keys, memory, bias))  # (positions, columns, size)
        return [each.numpy() for each in (*(each[rows] for each in state), *context)]

    @torch.inference_mode()
    def search_step(tokens: Any, parents: Any, *others: Any) -> list[Any]:
        *state, banned, keys, memory, bias = map(torch.from_numpy, others)
        keys, memory, bias = (each.transpose(0, 1) for each in (keys, memory, bias))
        y_t = embedding(torch.from_numpy(tokens.astype("int64")))
        rows = torch.from_numpy(parents.astype("int64"))
        state, c = attend(y_t, [each[rows] for each in state], keys, memory, bias)
        r = torch.tanh(linears["readout"](torch.cat([y_t, state[0], c], dim=1)))
        scores = nn.functional.linear(r, embedding.weight[:vocab], output_bias)
        values, words = (scores.log_softmax(1) + banned).topk(2 * BEAM_SIZE, dim=1)
        return [values.numpy(), words.numpy().astype(np.int32), *(each.numpy() for each in state)]

    return train, {"encode": encode, "search_step": search_step}.get


def worker(spec: dict[str, Any]) -> None:
    """Run one contender: read commands from standard input, write answers to standard output."""
    with np.load(spec["file"]) as loaded:
        file = {name: loaded[name] for name in loaded}
    sentences = sentences_of(file)
    count = sum(name.endswith("/0") for name in file if name.startswith("batch"))
    batches = [[file[f"batch{number}/{i}"] for i in range(5)] for number in range(count)]
    num_pieces = sum(int(batch[4].sum()) for batch in batches)
    if spec["kind"] == "ours":
        train, compiled = ours(spec, file)
    else:
        import torch

        torch.set_num_threads(spec["threads"])
        train, compiled = pytorch(spec, file)
        batches = [[torch.from_numpy(a.astype("int64") if a.dtype == "int32" else a) for a in b] for b in batches]
    for line in sys.stdin:
        if line.strip() == "check":
            texts = searched(compiled, spec["search"], sentences[:16])
            answer: Any = [[train(batches[i]) for i in range(NUM_CHECKED)], texts]
        elif line.strip() == "warm":
            answer = [len([train(batch) for batch in batches]), len(searched(compiled, spec["search"], sentences))]
        else:
            began = time.perf_counter()
            for batch in batches:
                train(batch)
            seconds = time.perf_counter() - began
            began = time.perf_counter()
            texts = searched(compiled, spec["search"], sentences)
            answer = [num_pieces / seconds, len(sentences) / (time.perf_counter() - began), sum(map(len, texts))]
        print(json.dumps(answer), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of training a translator and translating, against PyTorch.")
    parser.add_argument("--train", nargs=2, required=True)
    parser.add_argument("--valid", nargs=2, required=True)
    parser.add_argument("--checkpoint", help="start from the parameters of this translator of the same pairs and "
                        "sizes: an untrained one writes texts of other lengths")  # fmt: skip
    parser.add_argument("--cell", choices=("lstm", "gru"), default="lstm")
    parser.add_argument("--vocab-size", type=int, default=4000)
    parser.add_argument("--embedding-size", type=int, default=128)
    parser.add_argument("--hidden-size", type=int, default=192)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--engine", choices=("jax", "c"), default="jax")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of PyTorch; the fastest counts")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data.npz")
        common = {**prepare(args, file), "file": str(file)}
        specs: dict[str, dict[str, Any]] = {f"theano_rnn {args.engine}": {"kind": "ours", "engine": args.engine}}
        for threads, is_packed in itertools.product(args.threads, (True, False)):
            name = f"PyTorch, {threads} threads" + (", packed" if is_packed else "")
            specs[name] = {"kind": "torch", "threads": threads, "is_packed": is_packed}
        workers = {}
        for name, spec in specs.items():
            command = [sys.executable, __file__, "--worker", json.dumps({**common, **spec})]
            workers[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def ask(name: str, command: str) -> Any:
            workers[name].stdin.write(command + "\n")
            workers[name].stdin.flush()
            return json.loads(workers[name].stdout.readline())

        checks = {name: ask(name, "check") for name in workers}
        losses, texts = next(iter(checks.values()))
        for name, (values, found) in checks.items():
            same = sum(a == b for a, b in zip(texts, found))
            if not np.allclose(values, losses, rtol=2e-4, atol=2e-4) or same < len(texts) - 1:
                raise SystemExit(f"{name} does not do the same work: losses {values}, the first has {losses}; "
                                 f"{same} of {len(texts)} translations are the same")  # fmt: skip
        print(f"{common['sizes']}\nlosses of {NUM_CHECKED} steps agree: {[round(v, 4) for v in losses]}; so do the "
              f"translations of {len(texts)} sentences")  # fmt: skip
        for name in workers:
            ask(name, "warm")
        rounds: dict[str, list[Any]] = {name: [] for name in workers}
        for number in range(args.rounds):
            order = list(workers)
            for name in order[number % len(order) :] + order[: number % len(order)]:
                rounds[name].append(ask(name, "round"))
        for process in workers.values():
            process.stdin.close()
            process.wait()
    own = rounds[next(iter(rounds))]
    print(f"pieces written in a round: { {name: values[-1][2] for name, values in rounds.items()} }")
    for place, what in enumerate(("training, target pieces per second", "translating, sentences per second")):
        print(f"\n{what} (median of {args.rounds} rounds)")
        for name, values in rounds.items():
            print(f"  {name:28} {statistics.median(v[place] for v in values):12,.1f}")
        ratios = [mine[place] / max(rounds[name][i][place] for name in list(rounds)[1:]) for i, mine in enumerate(own)]
        print(f"  ratio to the fastest of PyTorch in each round: {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        import theano_rnn  # noqa: F401 - sets Aesara's flags before NumPy is used

        worker(json.loads(sys.argv[2]))
    else:
        main()
