"""Speed of training a text classifier and of classifying, compared with the same network in PyTorch.

    python benchmarks/classification_speed.py --train reviews.tsv --valid valid.tsv
    python benchmarks/classification_speed.py --bidirectional --pooling attention

Both do the same work on the same batches (texts of similar length, padded to the same lengths, masked), from the same
initial parameters: embedding, LSTM, pooling, softmax; Adam, clipping by global norm, float32, no dropout; each fetches
the loss of every step. First the losses of the first steps are compared. Each runs in its own process, and they take
turns: in each round, each makes the same number of training steps, and classifies the same number of batches.

PyTorch is run at its best: a network in one direction needs no packing, because padding comes after the text; one in
both directions is run twice, as one ``nn.LSTM`` on packed sequences and as two with the texts reversed by an index, and
the faster counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
LEARNING_RATE, CLIP_NORM = 0.003, 0.25
NUM_CHECKED = 4
NUM_BATCHES = 96


def prepare(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Write the batches and the initial parameters for everybody. Returns the sizes."""
    import dataclasses

    from theano_rnn.settings.network import ClassifierConfig
    from theano_rnn.tasks.classify import Classify
    from theano_rnn.tasks.labelled_batches import TextBatches
    from theano_rnn.tasks.text_classifier import TextClassifier

    task = Classify()
    sections = {name: section() for name, section in task.sections.items()}
    corpus = dataclasses.replace(sections["corpus"], train=tuple(args.train), valid=args.valid)
    data = task.read({**sections, "corpus": task.default_files(corpus, ROOT)})
    sizes = {"vocab_size": data.facts["vocabulary"].vocab_size, "num_labels": len(data.facts["labels"])}
    sizes |= {"embedding_size": args.size, "hidden_size": args.size, "bidirectional": args.bidirectional}
    sizes |= {"pooling": args.pooling}
    model = TextClassifier(ClassifierConfig(**sizes), rng=np.random.default_rng(1))
    batches = TextBatches(data.parts["train"], batch_size=args.batch_size, pad_id=data.facts["vocabulary"].pad_id,
                          rng=np.random.default_rng(1))  # fmt: skip
    arrays = {f"param/{name}": param.get_value() for name, param in model.params.items()}
    arrays["param/W_hy"] = 100 * arrays["param/W_hy"]  # or the losses would hardly depend on the rest
    if args.pooling == "attention":
        arrays["param/v_a"] = np.random.default_rng(2).normal(size=arrays["param/v_a"].shape).astype("float32")
    for number in range(min(NUM_BATCHES, len(batches))):
        batch = batches[number]
        arrays |= {f"batch{number}/{i}": array for i, array in enumerate(batch.arrays)}
    np.savez(path, **arrays)
    return sizes


def batches_of(file: Any) -> list[list[Any]]:
    """Returns the arrays of each batch: tokens, mask, labels, weights."""
    count = sum(name.endswith("/0") for name in file if name.startswith("batch"))
    return [[file[f"batch{number}/{i}"] for i in range(4)] for number in range(count)]


def ours(sizes: dict[str, Any], file: Any, engine: str) -> tuple[Any, Any]:
    """Returns the package's functions (train, classify), each of the arrays of a batch."""
    from theano_rnn.engine.allocator import keep_freed_memory
    from theano_rnn.settings.network import ClassifierConfig
    from theano_rnn.tasks.text_classifier import TextClassifier

    keep_freed_memory()  # as the commands do
    model = TextClassifier(ClassifierConfig(**sizes), rng=np.random.default_rng(1))
    for name, param in model.params.items():
        param.set_value(file[f"param/{name}"])
    functions = model.compile("train", "predict", engine=engine, optimizer="adam", clip_norm=CLIP_NORM)
    rate = np.float32(LEARNING_RATE)
    return (
        lambda batch: float(functions.train(*batch, rate)[0]),
        lambda batch: np.asarray(functions.predict(*batch[:2])[0]),
    )


def pytorch(sizes: dict[str, Any], file: Any, *, is_packed: bool) -> tuple[Any, Any]:
    """Returns PyTorch's functions (train, classify), each of the arrays of a batch."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    size, both = sizes["hidden_size"], sizes["bidirectional"]
    embedding = nn.Embedding(sizes["vocab_size"] + 2, sizes["embedding_size"])
    packed = nn.LSTM(sizes["embedding_size"], size, bidirectional=both and is_packed)
    reverse = nn.LSTM(sizes["embedding_size"], size) if both and not is_packed else None
    output = nn.Linear(size * (1 + both), sizes["num_labels"])
    attention = nn.Linear(size * (1 + both), size * (1 + both)) if sizes["pooling"] == "attention" else None
    values = {name.removeprefix("param/"): torch.from_numpy(file[name]) for name in file if name.startswith("param/")}

    def copy_layer(layer: Any, prefix: str, suffix: str) -> None:
        for theirs, name in (("weight_ih", "W_xh"), ("weight_hh", "W_hh"), ("bias_ih", "b_h")):
            blocks = dict(zip(GATES, values[f"{prefix}.{name}"].chunk(4, dim=-1)))
            value = torch.cat([blocks[gate] for gate in "ifgo"], dim=-1)
            getattr(layer, f"{theirs}_l0{suffix}").copy_(value if value.ndim == 1 else value.T)
        getattr(layer, f"bias_hh_l0{suffix}").zero_()

    from theano_rnn.nn.cells import LSTMCell

    GATES = "".join("g" if name[0] == "c" else name[0] for name in LSTMCell.GATES)
    with torch.no_grad():
        embedding.weight.copy_(values["embedding"])
        output.weight.copy_(values["W_hy"].T)
        output.bias.copy_(values["b_y"])
        copy_layer(packed, "forward0" if both else "layer0", "")
        if both:
            copy_layer(packed if is_packed else reverse, "backward0", "_reverse" if is_packed else "")
        vector = None
        if attention is not None:
            attention.weight.copy_(values["W_a"].T)
            attention.bias.copy_(values["b_a"])
            vector = nn.Parameter(values["v_a"].clone())
    modules = nn.ModuleList([m for m in (embedding, packed, reverse, output, attention) if m is not None])
    layers = [m for m in (packed, reverse) if m is not None]
    frozen = {id(p) for layer in layers for name, p in layer.named_parameters() if name.startswith("bias_hh")}
    for p in modules.parameters():
        p.requires_grad_(id(p) not in frozen)
    params = [p for p in modules.parameters() if p.requires_grad] + ([vector] if vector is not None else [])
    optimizer = torch.optim.Adam(params, lr=LEARNING_RATE)

    def scores(tokens: Any, mask: Any) -> Any:
        x = embedding(tokens)
        lengths = mask.sum(0).clamp(min=1).long()
        if both and is_packed:
            packed_x = pack_padded_sequence(x, lengths, enforce_sorted=False)
            h, _ = pad_packed_sequence(packed(packed_x)[0], total_length=len(x))
        elif both:
            steps = torch.arange(len(x))[:, None]
            index = torch.where(steps < lengths, lengths - 1 - steps, steps)[:, :, None]  # each text reversed
            backward, _ = reverse(torch.gather(x, 0, index.expand_as(x)))
            h = torch.cat([packed(x)[0], torch.gather(backward, 0, index.expand_as(backward))], dim=2)
        else:
            h, _ = packed(x)
        if sizes["pooling"] == "max":
            p = h.masked_fill(mask[:, :, None] == 0, -1e30).amax(0)
        elif sizes["pooling"] == "mean":
            p = (h * mask[:, :, None]).sum(0) / lengths[:, None]
        else:
            energies = torch.tanh(attention(h)) @ vector
            p = (h * energies.masked_fill(mask == 0, -1e30).softmax(0)[:, :, None]).sum(0)
        return output(p)

    def train(batch: Any) -> float:
        tokens, mask, labels, weights = batch
        optimizer.zero_grad()
        losses = nn.functional.cross_entropy(scores(tokens, mask), labels, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        nn.utils.clip_grad_norm_(params, CLIP_NORM)
        optimizer.step()
        return loss.item()

    def classify(batch: Any) -> Any:
        with torch.inference_mode():
            return scores(*batch[:2]).log_softmax(1).T.numpy()

    return train, classify


def worker(spec: dict[str, Any]) -> None:
    """Run one contender."""
    from taking_turns import answer

    sizes = spec["sizes"]
    with np.load(spec["file"]) as loaded:
        file = {name: loaded[name] for name in loaded}
    batches = batches_of(file)
    if spec["kind"] == "ours":
        train, classify = ours(sizes, file, spec["engine"])
    else:
        import torch

        torch.set_num_threads(spec["threads"])
        train, classify = pytorch(sizes, file, is_packed=spec["is_packed"])
        batches = [[torch.from_numpy(a.astype("int64") if a.dtype == "int32" else a) for a in b] for b in batches]
    tokens = sum(int(batch[1].sum()) for batch in batches)

    def check() -> list[float]:
        log_p = np.asarray(classify(batches[0])).ravel()[:4]
        return [train(batches[i]) for i in range(NUM_CHECKED)] + [float(value) for value in log_p]

    def work() -> list[float]:
        speeds = []
        for function in (train, classify):
            began = time.perf_counter()
            for batch in batches:
                function(batch)
            speeds.append(tokens / (time.perf_counter() - began))
        return speeds

    answer({"check": check, "warm": work, "round": work})


def main() -> None:
    from taking_turns import Contenders, print_rounds

    parser = argparse.ArgumentParser(description="Speed of training a classifier and classifying, against PyTorch.")
    parser.add_argument("--train", nargs="+", default=[])
    parser.add_argument("--valid")
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--pooling", choices=("mean", "max", "attention"), default="max")
    parser.add_argument("--engine", choices=("jax", "c"), default="jax")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of PyTorch; the fastest counts")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data.npz")
        sizes = prepare(args, file)
        specs: dict[str, dict[str, Any]] = {f"theano_rnn {args.engine}": {"kind": "ours", "engine": args.engine}}
        for threads in args.threads:
            for is_packed in (True, False) if args.bidirectional else (False,):
                name = f"PyTorch, {threads} threads" + (", packed" if is_packed else "")
                specs[name] = {"kind": "torch", "threads": threads, "is_packed": is_packed}
        common = {"sizes": sizes, "file": str(file)}
        contenders = Contenders(__file__, {name: {**spec, **common} for name, spec in specs.items()})
        checks = contenders.ask("check")
        first = next(iter(checks.values()))
        for name, values in checks.items():
            if not np.allclose(values, first, rtol=2e-4, atol=2e-4):
                raise SystemExit(f"{name} does not do the same work: {values}, the first has {first}")
        print(f"{sizes}\nlosses of {NUM_CHECKED} steps and 4 log-probabilities agree: {[round(v, 5) for v in first]}")
        rounds = contenders.rounds(args.rounds)
        contenders.close()
    print_rounds(rounds, ["training, tokens per second", "classifying, tokens per second"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        import theano_rnn  # noqa: F401 - sets Aesara's flags before NumPy is used

        worker(json.loads(sys.argv[2]))
    else:
        main()
