"""Measure milliseconds per sampled token, compared with the same loop in PyTorch.

Both sample from the distribution over the whole vocabulary, one token after another, keeping the state, for one sample
and for a batch of samples. Ours is `theano_rnn.generation.search` on the given checkpoint. PyTorch's is an LSTM of the
same sizes with tied weights and a full softmax, in the loop of its example: ``softmax`` and ``multinomial``. Each runs
in its own process, in turn, and is warmed up before timing.

    python benchmarks/generation.py runs/model.safetensors
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from command_line import parser_of


def ours(checkpoint: str, batch: int, tokens: int, engine: str) -> float:
    """Milliseconds a token."""
    from theano_rnn.cli.machine import prepare_machine
    from theano_rnn.settings.machine import MachineConfig
    from theano_rnn.settings.use import GenerationConfig

    machine = prepare_machine(MachineConfig(engine=engine))
    import numpy as np

    from theano_rnn.generation.search import generate
    from theano_rnn.language_model import LanguageModel

    model = LanguageModel(checkpoint, engine=machine.engine)
    step, config = model.function("step"), GenerationConfig(temperature=0.8)

    def run(count: int) -> int:
        rngs = [np.random.default_rng([1, i]) for i in range(batch)]
        found = generate(step, model.model.initial_state(batch), prompt=[model.start_id], end_id=None,
                         max_tokens=count, rngs=rngs, config=config, banned=[model.vocabulary.unk_id])  # fmt: skip
        return sum(map(len, found))

    run(20)
    began = time.perf_counter()
    drawn = run(tokens // batch)
    return 1000 * (time.perf_counter() - began) / drawn


def theirs(checkpoint: str, batch: int, tokens: int) -> float:
    """Milliseconds a token."""
    import safetensors
    import torch

    with safetensors.safe_open(checkpoint, "np") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    rows, size = next(shape for name, shape in shapes.items() if name.endswith("/embedding"))
    hidden = next(shape for name, shape in shapes.items() if name.endswith("/layer0.W_hh"))[0]
    layers = len({name.split("layer")[1][0] for name in shapes if "/layer" in name})
    embedding = torch.nn.Embedding(rows, size)
    lstm = torch.nn.LSTM(size, hidden, layers)
    linear = torch.nn.Linear(hidden, rows - 2)
    if hidden == size:
        linear.weight = torch.nn.Parameter(embedding.weight[: rows - 2])

    @torch.inference_mode()
    def run(count: int) -> int:
        state, token = None, torch.zeros((1, batch), dtype=torch.long)
        samples = []
        for _ in range(count):
            output, state = lstm(embedding(token), state)
            weights = torch.softmax(linear(output[0]) / 0.8, dim=-1)
            weights[:, 0] = 0
            token = torch.multinomial(weights, 1).T
            samples.append(token[0].tolist())
        return count * batch

    run(20)
    began = time.perf_counter()
    drawn = run(tokens // batch)
    return 1000 * (time.perf_counter() - began) / drawn


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64], metavar="N",
                        help="batch sizes: samples at once (default: 1 64)")
    parser.add_argument("--tokens", type=int, default=10_000, metavar="N",
                        help="tokens per round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--engines", nargs="+", default=["jax", "c"], choices=["jax", "c"])
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "BATCH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        name, batch = args.worker[0], int(args.worker[1])
        if name == "torch":
            print(theirs(args.checkpoint, batch, args.tokens))
        else:
            print(ours(args.checkpoint, batch, args.tokens, name))
        return
    names = [*args.engines, "torch"]
    for batch in args.batches:
        found: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(args.rounds):
            for name in names:
                command = [sys.executable, __file__, args.checkpoint, "--worker", name, str(batch), "--tokens",
                           str(args.tokens)]  # fmt: skip
                found[name].append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        median = {name: statistics.median(values) for name, values in found.items()}
        for name in names:
            ratio = statistics.median(theirs / ours for theirs, ours in zip(found["torch"], found[name]))
            spread = f"{min(found[name]):.3f} to {max(found[name]):.3f}"
            print(f"{batch} at once, {name}: {median[name]:.3f} ms a token ({spread}), "
                  f"{ratio:.2f} times PyTorch's speed", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
