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
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LEARNING_RATE, CLIP_NORM, BEAM_SIZE = 0.002, 1.0, 5
NUM_CHECKED = 3
NUM_BATCHES, NUM_TRANSLATED = 48, 1_014


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
    from attending_peer import PyTorchDecoder, fill, trainer
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    sizes = spec["sizes"]
    size, embedding_size, kind = sizes["hidden_size"], sizes["embedding_size"], sizes["cell"]
    p = {name.removeprefix("param/"): torch.from_numpy(file[name].copy()) for name in file if name[:6] == "param/"}
    is_packed = spec["is_packed"]
    source_embedding = nn.Embedding.from_pretrained(p["source_embedding"], freeze=False)
    layer = nn.GRU if kind == "gru" else nn.LSTM
    forward = layer(embedding_size, size, bidirectional=is_packed)
    backward = None if is_packed else layer(embedding_size, size)
    fill(forward, kind, "_l0", p, "encoder.forward0")
    fill(forward if is_packed else backward, kind, "_l0_reverse" if is_packed else "_l0", p, "encoder.backward0")
    decoder = PyTorchDecoder(p, sizes)
    modules = [source_embedding, forward] + ([backward] if backward else [])
    params = [param for module in modules for param in module.parameters() if param.requires_grad] + decoder.params

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
        mean = memory.sum(0) / lengths[:, None]
        memory = memory.transpose(0, 1)
        state, keys = decoder.start(mean, memory)
        return state, keys, memory, ((1 - mask) * -1e9).T

    def loss_of(batch: Any) -> Any:
        source, source_mask, *rest = batch
        return decoder.loss(*rest, *read(source, source_mask))

    @torch.inference_mode()
    def encode(source: Any, mask: Any, columns: Any) -> list[Any]:
        state, *context = read(torch.from_numpy(source.astype("int64")), torch.from_numpy(mask))
        rows = torch.from_numpy(columns.astype("int64"))
        columns_of = (each.transpose(0, 1)[:, rows] for each in context)  # (positions, columns, size)
        return [each.numpy() for each in (*(each[rows] for each in state), *columns_of)]

    search_step = decoder.search_step(2 * BEAM_SIZE)
    return trainer(params, loss_of, LEARNING_RATE, CLIP_NORM), {"encode": encode, "search_step": search_step}.get


def worker(spec: dict[str, Any]) -> None:
    """Run one contender."""
    from taking_turns import answer

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

    def check() -> Any:
        texts = searched(compiled, spec["search"], sentences[:16])
        return [[train(batches[i]) for i in range(NUM_CHECKED)], texts]

    def work() -> list[float]:
        began = time.perf_counter()
        for batch in batches:
            train(batch)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        texts = searched(compiled, spec["search"], sentences)
        return [num_pieces / seconds, len(sentences) / (time.perf_counter() - began), sum(map(len, texts))]

    answer({"check": check, "warm": work, "round": work})


def main() -> None:
    from taking_turns import Contenders, print_rounds

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
        contenders = Contenders(__file__, {name: {**common, **spec} for name, spec in specs.items()})
        checks = contenders.ask("check")
        losses, texts = next(iter(checks.values()))
        for name, (values, found) in checks.items():
            same = sum(a == b for a, b in zip(texts, found))
            if not np.allclose(values, losses, rtol=2e-4, atol=2e-4) or same < len(texts) - 1:
                raise SystemExit(f"{name} does not do the same work: losses {values}, the first has {losses}; "
                                 f"{same} of {len(texts)} translations are the same")  # fmt: skip
        print(f"{common['sizes']}\nlosses of {NUM_CHECKED} steps agree: {[round(v, 4) for v in losses]}; so do the "
              f"translations of {len(texts)} sentences")  # fmt: skip
        rounds = contenders.rounds(args.rounds)
        contenders.close()
    print(f"pieces written in a round: { {name: values[-1][2] for name, values in rounds.items()} }")
    print_rounds(rounds, ("training, target pieces per second", "translating, sentences per second"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        import theano_rnn  # noqa: F401 - sets Aesara's flags before NumPy is used

        worker(json.loads(sys.argv[2]))
    else:
        main()
