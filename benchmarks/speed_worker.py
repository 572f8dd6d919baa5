"""Run one contender of speed.py in its own process. It computes only on command.

Commands are lines on standard input; answers are JSON lines on standard output; the output of libraries goes to
standard error. The first command builds the contender. Each builder returns ``(step, prepare)``. `prepare` converts
int32 (time, batch) arrays to the inputs of `step`, once, outside the measured time. `step` makes one update and returns
the loss before it as a number, so that on every device the computation has ended when `step` returns.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

Step = Callable[..., float]
LEARNING_RATE = 1.0
CLIP_NORM = 0.1  # of the global norm; small, so that every step is clipped
NUM_CHECKED = 6  # steps whose losses are compared
NUM_WINDOWS = 64  # of data, used again and again


class Skip(Exception):
    """This contender cannot run here; the message says why."""


def build_ours(spec: dict[str, Any]) -> tuple[Step, Any]:
    """The package's own step."""
    engine, device = spec["engine"], spec["device"]
    if engine == "jax":
        if importlib.util.find_spec("jax") is None:
            raise Skip("jax is not installed")
        if device == "cpu" and hasattr(os, "sched_setaffinity"):  # XLA starts a thread for each core it may use
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: spec["threads"]])
    if importlib.util.find_spec("aesara") is None:
        raise Skip("aesara is not installed")
    import inspect

    import numpy as np

    from theano_rnn.model import RNNLM
    from theano_rnn.settings.base import UserError

    model = RNNLM(model_config(spec), rng=np.random.default_rng(0))
    if spec["weights"] is not None:
        for name, value in load_weights(spec).items():
            model.params[name].set_value(value, borrow=True)
    options: dict[str, Any] = {"engine": engine, "device": device, "kernels": spec.get("kernels", "auto"),
                               "precision": spec.get("precision", "auto")}  # fmt: skip
    known = inspect.signature(model.compile).parameters
    if "engine" not in known and engine != "c":
        raise Skip("this version of theano_rnn has the C engine only")
    try:
        train = model.compile("train", optimizer="sgd", clip_norm=CLIP_NORM,
                              **{name: value for name, value in options.items() if name in known}).train  # fmt: skip
    except UserError as error:
        raise Skip(str(error)) from None
    state = model.initial_state(spec["batch_size"])
    mask = np.ones((spec["bptt_steps"], spec["batch_size"]), "float32")
    rate = np.float32(LEARNING_RATE)

    def step(tokens: Any, targets: Any) -> float:
        nonlocal state
        loss, *state = train(tokens, targets, mask, *state, rate)
        return float(np.asarray(loss))

    return step, lambda tokens, targets: (tokens, targets)


def build_torch(spec: dict[str, Any]) -> tuple[Step, Any]:
    """PyTorch's."""
    if importlib.util.find_spec("torch") is None:
        raise Skip("torch is not installed")
    import torch
    import torch_peer

    if spec["cell"] == "mogrifier":
        raise Skip("PyTorch has no such layer")
    if spec["device"] == "gpu" and not torch.cuda.is_available():
        raise Skip("PyTorch sees no GPU")
    torch.set_num_threads(spec["threads"])
    torch.set_float32_matmul_precision("high" if spec["tf32"] else "highest")
    torch.backends.cudnn.allow_tf32 = spec["tf32"]
    device = "cuda" if spec["device"] == "gpu" else "cpu"
    weights = load_weights(spec) if spec["weights"] is not None else None
    step = torch_peer.make_step(
        spec["cell"], spec, weights, spec["gates"], sparse=spec["sparse"], device=device,
        precision=spec["precision"], learning_rate=LEARNING_RATE, clip_norm=CLIP_NORM,
    )  # fmt: skip

    def prepare(*arrays: Any) -> tuple[Any, ...]:
        return tuple(torch.from_numpy(array.astype("int64")).to(device) for array in arrays)

    return step, prepare


def build_numpy(spec: dict[str, Any]) -> tuple[Step, Any]:
    """Plain NumPy's."""
    import numpy_tutorial

    step = numpy_tutorial.make_step(load_weights(spec), learning_rate=LEARNING_RATE, clip_norm=CLIP_NORM)
    return step, lambda tokens, targets: (tokens[:, 0], targets[:, 0])


BUILDERS = {"ours": build_ours, "torch": build_torch, "numpy": build_numpy}


def model_config(spec: dict[str, Any]) -> Any:
    from theano_rnn.settings.network import ModelConfig

    names = ("cell", "num_layers", "vocab_size", "embedding_size", "hidden_size")
    return ModelConfig(**{name: spec[name] for name in names}, tie_weights=False, head="softmax")


def load_weights(spec: dict[str, Any]) -> Any:
    import numpy as np

    with np.load(spec["weights"]) as file:
        return {name: file[name] for name in file}


def export_weights(spec: dict[str, Any]) -> dict[str, Any]:
    """Write the model's initial parameters for everybody; the order of an LSTM's gates, in PyTorch's letters.

    The output layer's are made larger: with the model's own, near zero, the losses would hardly depend on the rest, and
    contenders that do different work would pass for equal.
    """
    import numpy as np

    from theano_rnn.model import RNNLM
    from theano_rnn.settings.base import UserError

    try:
        model = RNNLM(model_config(spec), rng=np.random.default_rng(0))
    except UserError as error:
        raise Skip(str(error)) from None
    weights = {name: param.get_value() for name, param in model.params.items()}
    weights["W_hy"] *= np.float32(1000)
    np.savez(spec["weights"], **weights)
    names = getattr(model.layers.cells[0], "GATES", "")
    return {"gates": "".join("g" if name[0] == "c" else name[0] for name in names)}


def make_windows(spec: dict[str, Any], prepare: Any) -> list[tuple[Any, ...]]:
    """Windows of one random stream, its words as frequent as in a text (Zipf), each int32 (time, batch)."""
    import numpy as np

    rng = np.random.default_rng(1)
    frequency = 1 / (np.arange(spec["vocab_size"]) + 2.7)
    shape = (NUM_WINDOWS * spec["bptt_steps"] + 1, spec["batch_size"])
    stream = rng.choice(spec["vocab_size"], size=shape, p=frequency / frequency.sum()).astype("int32")
    size = spec["bptt_steps"]
    return [prepare(stream[i : i + size], stream[i + 1 : i + 1 + size]) for i in range(0, len(stream) - 1, size)]


def peak_bytes(spec: dict[str, Any]) -> dict[str, int]:
    """Peak memory of this process and, on a GPU, of the arrays on it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    result = {"peak_bytes": peak}
    if spec["device"] == "gpu" and spec["kind"] == "torch":
        import torch

        result["device_peak_bytes"] = torch.cuda.max_memory_allocated()
    elif spec["device"] == "gpu" and spec["kind"] == "ours":
        import jax

        result["device_peak_bytes"] = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    return result


def answer(answers: Any, **fields: Any) -> None:
    answers.write(json.dumps(fields) + "\n")
    answers.flush()


def serve(spec: dict[str, Any], answers: Any) -> None:
    """Build and answer; then answer ``check``, ``first``, ``round N`` and ``memory`` until the input ends."""
    began = time.perf_counter()
    step, prepare = BUILDERS[spec["kind"]](spec)
    windows = make_windows(spec, prepare)
    answer(answers, build_seconds=time.perf_counter() - began)
    done = 0

    def timed(num_steps: int) -> tuple[list[float], list[float]]:
        nonlocal done
        losses, seconds = [], []
        for _ in range(num_steps):
            window = windows[done % NUM_WINDOWS]
            begin = time.perf_counter()
            losses.append(step(*window))
            seconds.append(time.perf_counter() - begin)
            done += 1
        return losses, seconds

    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "check":
            answer(answers, losses=[step(*windows[0]) for _ in range(NUM_CHECKED)])  # the same: rows of words matter
        elif command == "first":
            answer(answers, losses=timed(1)[0])
        elif command == "round":
            timed(3)  # the caches belonged to another
            losses, seconds = timed(int(arguments[0]))
            answer(answers, seconds=seconds, last_loss=losses[-1])
        elif command == "memory":
            answer(answers, **peak_bytes(spec))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    spec = json.loads(sys.argv[1])
    if spec["kind"] != "torch":
        importlib.import_module("theano_rnn")  # before numpy: sets Aesara's flags and OpenBLAS's kernels
    if spec.get("engine") != "c":  # as the commands do; PyTorch and NumPy, too, are then faster
        from theano_rnn.engine.allocator import keep_freed_memory

        keep_freed_memory()
    try:
        if spec["kind"] == "weights":
            answer(answers, **export_weights(spec))
        else:
            serve(spec, answers)
    except Skip as reason:
        answer(answers, skip=str(reason))


if __name__ == "__main__":
    main()
