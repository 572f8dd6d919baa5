"""Measure the memory of a training step: XLA's plan, and with --run the peak of the process or the GPU.

Parameters, optimizer state and arguments are kept between steps. Working memory is what XLA needs within one step:
hidden states, gates, logits and the values that the gradients need.

    python benchmarks/memory.py                      the plan for both settings, without computing
    python benchmarks/memory.py --run                the same, and the peak over three steps of each
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from typing import Any

from command_line import parser_of

SETTINGS: dict[str, dict[str, Any]] = {
    "ptb-medium": {
        "num_layers": 2, "hidden_size": 650, "embedding_size": 650, "batch_size": 20, "bptt_steps": 35,
        "tie_weights": False, "head": "softmax", "optimizer": "sgd", "dropout": 0.5,
    },
    "awd": {
        "num_layers": 3, "hidden_size": 1150, "embedding_size": 400, "batch_size": 80, "bptt_steps": 70,
        "tie_weights": True, "head": "softmax", "optimizer": "asgd", "dropout": 0.4, "variational": True,
        "embedding_dropout": 0.1, "recurrent_dropout": 0.5, "activation_penalty": 2.0, "temporal_penalty": 1.0,
    },
}  # fmt: skip
VOCAB_SIZE, NUM_STEPS = 10_000, 3


def measure(name: str, device: str, *, does_run: bool) -> dict[str, Any]:
    """Bytes of one setting, in a process that has done nothing else."""
    from theano_rnn.cli.machine import prepare_machine
    from theano_rnn.settings.base import from_mapping
    from theano_rnn.settings.machine import MachineConfig
    from theano_rnn.settings.network import ModelConfig
    from theano_rnn.settings.training import TrainingConfig

    prepare_machine(MachineConfig(engine="jax", device=device))
    import numpy as np

    from theano_rnn.engine.xla import x64
    from theano_rnn.model import RNNLM

    setting = SETTINGS[name] | {"vocab_size": VOCAB_SIZE, "cell": "lstm"}
    training = from_mapping(TrainingConfig, setting)
    model = RNNLM(from_mapping(ModelConfig, setting), rng=np.random.default_rng(1))
    train = model.compile("train", engine="jax", device=device, optimizer=training.optimizer, clip_norm=0.25,
                          regularization=training).train  # fmt: skip
    shape = training.bptt_steps, training.batch_size
    tokens = np.random.default_rng(2).integers(VOCAB_SIZE, size=shape, dtype="int32")
    arguments = [tokens, tokens, np.ones(shape, "float32"), *model.initial_state(shape[1]), np.float32(0.1)]
    for container, value in zip(train.function.input_storage, arguments):
        container.storage[0] = value
    with x64():
        plan = train.vm.function.lower(*[cell[0] for cell in train.vm.inputs]).compile().memory_analysis()
    parameters = sum(p.get_value(borrow=True).nbytes for p in model.params.values())
    found = {"parameters": parameters, "held": plan.argument_size_in_bytes, "working": plan.temp_size_in_bytes}
    if does_run:
        import jax

        for _ in range(NUM_STEPS):
            loss = float(np.asarray(train(*arguments)[0]))
        assert np.isfinite(loss)
        unit = 1 if sys.platform == "darwin" else 1024
        found["process"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        used = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
        found |= {} if used is None else {"device": used}
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), metavar="NAME",
                        help=f"settings to measure, of {', '.join(SETTINGS)} (default: all)")  # fmt: skip
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="default: %(default)s")
    parser.add_argument("--run", action="store_true", help="also compute three steps and measure the peak")
    parser.add_argument("--one", choices=list(SETTINGS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.device, does_run=args.run)))
        return
    for name in args.settings:
        line = [sys.executable, __file__, "--one", name, "--device", args.device, *(["--run"] if args.run else [])]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}: " + ", ".join(f"{what} {size / 2**20:,.0f} MiB" for what, size in found.items()), flush=True)


if __name__ == "__main__":
    main()
