"""Speed of training a recognizer and of recognizing, compared with the same network in PyTorch.

    python benchmarks/ctc_speed.py                                   # the synthetic digits
    python benchmarks/ctc_speed.py --train an4.npz --deltas 2

Both do the same work on the same batches (utterances of similar length, padded to the same lengths, masked), from the
same initial parameters: LSTM layers in both directions, soft-max, CTC; Adam, clipping by global norm, float32, no
dropout; each fetches the loss of every step. First the losses of the first steps are compared. Each runs in its own
process, and they take turns: in each round, each makes the same number of training steps, and computes the
log-probabilities of the same number of batches.

PyTorch is run at its best: as one ``nn.LSTM`` on packed sequences, and as two for each level with the utterances
reversed by an index, with one and with two threads; the fastest of each round counts.

A frame is one of the sound, 10 ms; the network reads three at each step. The real-time factor is the time that the
network takes for a second of sound.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LEARNING_RATE, CLIP_NORM = 0.003, 1.0
NUM_CHECKED = 4
NUM_BATCHES = 32
REAL_TIME_COLUMNS = 1, 64  # utterances that are recognized together


def prepare(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Write the batches and the initial parameters for everybody. Returns the sizes."""
    from theano_rnn.tasks.recognize import Recognize

    task = Recognize()
    sections = {name: section() for name, section in task.sections.items()}
    sections["corpus"] = dataclasses.replace(sections["corpus"], train=tuple(args.train))
    sections["features"] = dataclasses.replace(sections["features"], deltas=args.deltas)
    sections["training"] = dataclasses.replace(sections["training"], batch_size=args.batch_size)
    sections["model"] = dataclasses.replace(sections["model"], hidden_size=args.size, num_layers=args.layers)
    data = task.read(sections)
    model = task.make_model(sections, data.facts, rng=np.random.default_rng(1))
    batches = task.batches(data.parts["train"], sections, data.facts, dtype="float32", epoch=0)
    arrays = {f"param/{name}": param.get_value() for name, param in model.params.items()}
    chosen = [batches[number] for number in range(min(NUM_BATCHES, len(batches)))]
    for number, batch in enumerate(chosen):
        arrays |= {f"batch{number}/{i}": array for i, array in enumerate(batch.arrays)}
    frames, mask, _ = max((batch.arrays for batch in chosen), key=lambda each: each[1].shape[0])
    for columns in REAL_TIME_COLUMNS:
        repeats = -(-columns // frames.shape[1])
        arrays |= {f"wide{columns}/0": np.tile(frames, (1, repeats, 1))[:, :columns],
                   f"wide{columns}/1": np.tile(mask, (1, repeats))[:, :columns]}  # fmt: skip
    np.savez(path, **arrays)
    return {**{name: getattr(model.config, name) for name in ("hidden_size", "num_layers", "num_inputs", "num_labels")},
            "stacking": data.facts["features"]["stacking"],
            "shift_ms": data.facts["features"]["shift_ms"]}  # fmt: skip


def arrays_of(file: Any, prefix: str) -> list[list[Any]]:
    """Returns the arrays of each batch whose name begins with `prefix`."""
    names = dict.fromkeys(name.split("/")[0] for name in file if name.startswith(prefix))
    return [[file[each] for each in sorted(file) if each.split("/")[0] == name] for name in names]


def ours(sizes: dict[str, Any], file: Any, engine: str) -> tuple[Any, Any]:
    """Returns the package's functions (train, predict), each of the arrays of a batch."""
    from theano_rnn.engine.allocator import keep_freed_memory
    from theano_rnn.settings.network import RecognitionConfig
    from theano_rnn.tasks.recognition_model import RecognitionModel

    keep_freed_memory()  # as the commands do
    names = ("hidden_size", "num_layers", "num_inputs", "num_labels")
    model = RecognitionModel(RecognitionConfig(**{name: sizes[name] for name in names}), rng=np.random.default_rng(1))
    for name, param in model.params.items():
        param.set_value(file[f"param/{name}"])
    functions = model.compile("train", "predict", engine=engine, optimizer="adam", clip_norm=CLIP_NORM)
    rate = np.float32(LEARNING_RATE)
    return (
        lambda batch: float(functions.train(*batch, rate)[0]),
        lambda batch: np.asarray(functions.predict(*batch[:2])[0]),
    )


def pytorch(sizes: dict[str, Any], file: Any, *, is_packed: bool) -> tuple[Any, Any]:
    """Returns PyTorch's functions (train, predict), each of the arrays of a batch."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    from theano_rnn.nn.cells import LSTMCell

    size, num_layers = sizes["hidden_size"], sizes["num_layers"]
    inputs = [sizes["num_inputs"], *[2 * size] * (num_layers - 1)]
    gates = "".join("g" if name[0] == "c" else name[0] for name in LSTMCell.GATES)
    output = nn.Linear(2 * size, 1 + sizes["num_labels"])
    if is_packed:
        both = nn.LSTM(inputs[0], size, num_layers=num_layers, bidirectional=True)
        places = [(both, f"_l{level}{end}", f"{name}{level}") for level in range(num_layers)
                  for name, end in (("forward", ""), ("backward", "_reverse"))]  # fmt: skip
        layers = nn.ModuleList([both])
    else:
        layers = nn.ModuleList([nn.LSTM(each, size) for each in inputs for _ in range(2)])
        names = [f"{name}{level}" for level in range(num_layers) for name in ("forward", "backward")]
        places = [(layer, "_l0", name) for layer, name in zip(layers, names)]
    values = {name.removeprefix("param/"): torch.from_numpy(file[name]) for name in file if name.startswith("param/")}
    with torch.no_grad():
        output.weight.copy_(values["W_hy"].T)
        output.bias.copy_(values["b_y"])
        for layer, end, prefix in places:
            for theirs, name in (("weight_ih", "W_xh"), ("weight_hh", "W_hh"), ("bias_ih", "b_h")):
                blocks = dict(zip(gates, values[f"{prefix}.{name}"].chunk(4, dim=-1)))
                value = torch.cat([blocks[gate] for gate in "ifgo"], dim=-1)
                getattr(layer, f"{theirs}{end}").copy_(value if value.ndim == 1 else value.T)
            getattr(layer, f"bias_hh{end}").zero_().requires_grad_(False)
    params = [p for module in (layers, output) for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(params, lr=LEARNING_RATE)

    def log_probabilities(frames: Any, mask: Any) -> Any:
        lengths = mask.sum(0).clamp(min=1).long()
        if is_packed:
            packed = pack_padded_sequence(frames, lengths, enforce_sorted=False)
            x, _ = pad_packed_sequence(layers[0](packed)[0], total_length=len(frames))
        else:
            steps, x = torch.arange(len(frames))[:, None], frames
            index = torch.where(steps < lengths, lengths - 1 - steps, steps)[:, :, None]  # each utterance reversed
            for level in range(num_layers):
                forward, _ = layers[2 * level](x)
                backward, _ = layers[2 * level + 1](torch.gather(x, 0, index.expand_as(x)))
                x = torch.cat([forward, torch.gather(backward, 0, index.expand_as(backward))], dim=2)
        return output(x).log_softmax(-1)

    def train(batch: Any) -> float:
        frames, mask, labels = batch
        optimizer.zero_grad()
        is_real = mask[0] > 0
        counts = (labels > 0).sum(0)
        targets = labels.T[labels.T > 0]
        losses = nn.functional.ctc_loss(log_probabilities(frames, mask)[:, is_real], targets,
                                        mask.sum(0).long()[is_real], counts[is_real], reduction="sum")  # fmt: skip
        loss = losses / counts.sum()
        loss.backward()
        nn.utils.clip_grad_norm_(params, CLIP_NORM)
        optimizer.step()
        return loss.item()

    def predict(batch: Any) -> Any:
        with torch.inference_mode():
            return log_probabilities(*batch[:2]).numpy()

    return train, predict


def worker(spec: dict[str, Any]) -> None:
    """Run one contender."""
    from taking_turns import answer

    sizes = spec["sizes"]
    with np.load(spec["file"]) as loaded:
        file = {name: loaded[name] for name in loaded}
    batches, wide = arrays_of(file, "batch"), arrays_of(file, "wide")
    frames = sizes["stacking"] * sum(int(batch[1].sum()) for batch in batches)
    seconds = [sizes["stacking"] * sizes["shift_ms"] / 1000 * float(each[1].sum()) for each in wide]
    if spec["kind"] == "ours":
        train, predict = ours(sizes, file, spec["engine"])
    else:
        import torch

        torch.set_num_threads(spec["threads"])
        train, predict = pytorch(sizes, file, is_packed=spec["is_packed"])
        batches, wide = ([[torch.from_numpy(a.astype("int64") if a.dtype == "int32" else a) for a in each]
                          for each in group] for group in (batches, wide))  # fmt: skip

    def check() -> list[float]:
        first = np.asarray(predict(batches[0]))[0, 0, :4]
        return [train(batches[i]) for i in range(NUM_CHECKED)] + [float(value) for value in first]

    def work() -> list[float]:
        answers = []
        for function in (train, predict):
            began = time.perf_counter()
            for batch in batches:
                function(batch)
            answers.append(frames / (time.perf_counter() - began))
        for each, length in zip(wide, seconds):
            began = time.perf_counter()
            predict(each)
            answers.append((time.perf_counter() - began) / length)
        return answers

    answer({"check": check, "warm": work, "round": work})


def main() -> None:
    from taking_turns import Contenders, print_rounds

    parser = argparse.ArgumentParser(description="Speed of training a recognizer and recognizing, against PyTorch.")
    parser.add_argument("--train", nargs="+", default=[])
    parser.add_argument("--deltas", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--engine", choices=("jax", "c"), default="jax")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of PyTorch; the fastest counts")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--without-packed", action="store_true", help="leave out packed sequences, which are slower")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data.npz")
        sizes = prepare(args, file)
        specs: dict[str, dict[str, Any]] = {f"theano_rnn {args.engine}": {"kind": "ours", "engine": args.engine}}
        for threads in args.threads:
            for is_packed in (False,) if args.without_packed else (True, False):
                name = f"PyTorch, {threads} threads" + (", packed" if is_packed else "")
                specs[name] = {"kind": "torch", "threads": threads, "is_packed": is_packed}
        common = {"sizes": sizes, "file": str(file)}
        contenders = Contenders(__file__, {name: {**spec, **common} for name, spec in specs.items()})
        checks = contenders.ask("check")
        first = next(iter(checks.values()))
        for name, values in checks.items():
            if not np.allclose(values, first, rtol=1e-3, atol=1e-3):
                raise SystemExit(f"{name} does not do the same work: {values}, the first has {first}")
        print(f"{sizes}\nlosses of {NUM_CHECKED} steps and 4 log-probabilities agree: {[round(v, 4) for v in first]}")
        rounds = contenders.rounds(args.rounds)
        contenders.close()
    print_rounds(rounds, ["training, frames per second", "recognizing, frames per second"])
    for place, columns in enumerate(REAL_TIME_COLUMNS, start=2):
        print(f"\nreal-time factor, {columns} of the longest utterances at once (median of {args.rounds} rounds)")
        for name, values in rounds.items():
            print(f"  {name:34} {statistics.median(v[place] for v in values):12.6f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        import theano_rnn  # noqa: F401 - sets Aesara's flags before NumPy is used

        worker(json.loads(sys.argv[2]))
    else:
        main()
