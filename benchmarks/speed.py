"""Measure speed and memory of one training step, compared with PyTorch doing the same work.

All contenders use the same sizes, data, initial parameters, carried state, clipping by global norm, plain SGD and
float32, and fetch the loss of every step, as a training loop does. All but the C engine keep freed memory in their
process (`theano_rnn.engine.allocator`), and PyTorch's update of dense gradients is its fused one. First all must
compute the same losses over a few steps; otherwise nothing is measured. Each runs in its own process, and only one
computes at a time. In each of seven rounds every contender computes for about 1.5 seconds, so that other load on the
machine affects all of them alike.

    python benchmarks/speed.py                                     all settings, all engines, about ten minutes
    python benchmarks/speed.py --settings tutorial --engines c
    python benchmarks/speed.py --kernels auto none --cell gru --num-layers 2
    python benchmarks/speed.py --peer-precision float32 bfloat16   PyTorch also with torch.autocast
    python benchmarks/speed.py --device gpu --json gpu.json
    python benchmarks/speed.py --start                             seconds to the first training step, cold and warm

Results: each round gives the median time of a step; shown are the median, smallest and largest over the rounds. The
ratio divides the tokens per second by those of PyTorch's dense embedding in the same round (on a CPU, with PyTorch's
faster number of threads; with several precisions, in the first that was given). Peak memory is that of the whole
process, with libraries; on a GPU, also that of its arrays.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from command_line import parser_of

WORKER = Path(__file__).with_name("speed_worker.py")
SETTINGS: dict[str, dict[str, Any]] = {
    name: dict(zip(("cell", "vocab_size", "hidden_size", "batch_size", "bptt_steps"), values))
    for name, values in {
        "tutorial": ("tanh", 8000, 100, 1, 25),
        "characters": ("lstm", 65, 256, 50, 50),
        "ptb-small": ("lstm", 10000, 200, 20, 20),
        "ptb-medium": ("lstm", 10000, 650, 20, 35),
    }.items()
}
TOLERANCE = 1e-4  # relative, of losses
TOLERANCE_TF32 = 2e-3
TOLERANCE_BFLOAT16 = 2e-2
ROUND_SECONDS = 1.5
WARM_STARTS = 3


class Worker:
    """A contender in a process of its own; `ask` sends a command and waits for the answer."""

    def __init__(self, name: str, spec: dict[str, Any], folder: Path, environment: dict[str, str]) -> None:
        self.name, self.spec = name, spec
        self.errors = Path(tempfile.mkstemp(dir=folder, suffix=".txt")[1])
        with open(self.errors, "w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), json.dumps(spec)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors, text=True, env={**os.environ, **environment},
            )  # fmt: skip

    def ask(self, command: str = "") -> dict[str, Any]:
        """The answer to `command`, or to the one it started with."""
        if command:
            with contextlib.suppress(BrokenPipeError):  # it has died: the missing answer says so
                self.process.stdin.write(command + "\n")
                self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.close()
            text = self.errors.read_text(errors="replace")[-3000:]
            raise SystemExit(f"{self.name}: the process ended with status {self.process.returncode}\n{text}")
        return json.loads(line)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def environment_of(spec: dict[str, Any]) -> dict[str, str]:
    """Returns the environment variables to set before a worker loads its libraries."""
    threads = str(spec["threads"])
    return {
        **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads),
        "JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32" if spec["tf32"] else "float32",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # several processes share the GPU
        **({"JAX_PLATFORMS": "cpu"} if spec["device"] == "cpu" else {}),
    }


def contenders(setting: str, cell: str, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Name and specification of everybody who runs a setting."""
    found = {}
    choices = list(itertools.product(args.kernels, args.precision))
    for engine in args.engines:
        for kernels, precision in choices if engine == "jax" else [("auto", "auto")]:
            suffix = " without kernels" if kernels == "none" else ""
            suffix += f", {precision}" if precision != "auto" else ""
            found[f"theano_rnn {engine}{suffix}"] = {
                "kind": "ours", "engine": engine, "kernels": kernels, "precision": precision, "threads": args.threads
            }  # fmt: skip
    counts = sorted({1, args.threads}) if args.device == "cpu" else [args.threads]
    for precision in args.peer_precision:
        for embedding in ("dense", "sparse") if setting == "tutorial" else ("dense",):
            for count in counts:
                suffix = f", {count} thread{'s' * (count > 1)}" if args.device == "cpu" else ""
                suffix += f", {precision}" if precision != "float32" else ""
                found[f"PyTorch {embedding}{suffix}"] = {
                    "kind": "torch", "sparse": embedding == "sparse", "threads": count, "precision": precision
                }  # fmt: skip
    if setting == "tutorial" and cell == "tanh" and args.num_layers == 1 and args.device == "cpu":
        found["NumPy"] = {"kind": "numpy", "threads": args.threads}
    return found


def run_setting(setting: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Check, measure and print one setting; the figures.

    Raises
    ------
    SystemExit
        The contenders' losses differ, or one fails.
    """
    sizes = dict(SETTINGS[setting], embedding_size=SETTINGS[setting]["hidden_size"])
    sizes |= {"cell": args.cell or sizes["cell"], "num_layers": args.num_layers}
    common = {**sizes, "device": args.device, "tf32": args.device == "gpu" and args.tf32}
    common["weights"] = str(folder / f"{setting}.npz")
    tokens = sizes["batch_size"] * sizes["bptt_steps"]
    print(f"\n{setting}: {sizes['num_layers']} x {sizes['cell']}, V {sizes['vocab_size']}, H {sizes['hidden_size']}, "
          f"batch {sizes['batch_size']}, {sizes['bptt_steps']} steps", flush=True)  # fmt: skip
    with contextlib.ExitStack() as stack:

        def start(name: str, spec: dict[str, Any]) -> tuple[Worker, dict[str, Any]]:
            spec = {**common, **spec}
            worker = Worker(name, spec, folder, environment_of(spec))
            stack.callback(worker.close)
            return worker, worker.ask()

        _, weights = start("initial weights", {"kind": "weights", "threads": 1, "device": "cpu"})
        if "skip" in weights:
            print(f"  skipped: {weights['skip']}")
            return {"sizes": sizes, "skipped": weights["skip"]}
        workers, skipped, losses = {}, {}, {}
        specs = contenders(setting, sizes["cell"], args)
        for name, spec in specs.items():
            worker, built = start(name, {**spec, "gates": weights["gates"]})
            if "skip" in built:
                skipped[name] = built["skip"]
                print(f"  {name} skipped: {built['skip']}", flush=True)
            else:
                workers[name] = worker
                losses[name] = worker.ask("check")["losses"]
        if not workers:
            return {"sizes": sizes, "skipped": skipped}
        difference = check_losses(losses, {name: tolerance_of({**common, **specs[name]}) for name in losses})
        first, *_, last = next(iter(losses.values()))
        num_losses = len(next(iter(losses.values())))
        print(f"  losses of {num_losses} steps, {first:.4f} to {last:.4f}, agree to {difference:.0e}", flush=True)

        num_steps = {}
        for name, worker in workers.items():
            worker.ask("round 3")
            typical = statistics.median(worker.ask("round 10")["seconds"])
            num_steps[name] = max(5, round(ROUND_SECONDS / typical))
        rounds: dict[str, list[float]] = {name: [] for name in workers}
        for number in range(args.rounds):
            order = list(workers)
            for name in order[number % len(order) :] + order[: number % len(order)]:
                reply = workers[name].ask(f"round {num_steps[name]}")
                if not abs(reply["last_loss"]) < 1e3:
                    raise SystemExit(f"{name}: the loss is {reply['last_loss']} after round {number + 1}")
                rounds[name].append(1e3 * statistics.median(reply["seconds"]))
        memory = {name: worker.ask("memory") for name, worker in workers.items()}
    results = {name: figures(times, tokens) | memory[name] for name, times in rounds.items()}
    compare(results, [name for name in results if specs[name]["kind"] == "torch" and not specs[name]["sparse"]
                      and specs[name]["precision"] == args.peer_precision[0]])  # fmt: skip
    print_table(results)
    return {"sizes": sizes, "contenders": results, "skipped": skipped, "losses": losses, "difference": difference}


def tolerance_of(spec: dict[str, Any]) -> float:
    """How far the losses of a contender may be from the first one's, relative to these."""
    if spec.get("precision") == "bfloat16":
        return TOLERANCE_BFLOAT16
    return TOLERANCE_TF32 if spec["tf32"] or spec.get("precision") == "tensorfloat32" else TOLERANCE


def check_losses(losses: dict[str, list[float]], tolerances: dict[str, float]) -> float:
    """The largest relative difference between the losses of the first contender and the others.

    Raises
    ------
    SystemExit
        That of a contender is above its tolerance, or not a number.
    """
    reference = next(iter(losses.values()))
    worst = 0.0
    for name, values in losses.items():
        for step, (value, expected) in enumerate(zip(values, reference)):
            difference = abs(value - expected) / abs(expected)
            if not difference <= tolerances[name]:
                table = "\n".join(f"  {other}: {row}" for other, row in losses.items())
                raise SystemExit(f"{name} does not do the same work: loss {value} where the first has {expected}, "
                                 f"at step {step + 1} (from the same weights)\n{table}")  # fmt: skip
            worst = max(worst, difference)
    return worst


def figures(times: list[float], tokens: int) -> dict[str, Any]:
    """Milliseconds a step (median, smallest, largest of `times`, those of the rounds) and tokens per second."""
    median = statistics.median(times)
    return {"ms": median, "ms_min": min(times), "ms_max": max(times), "ms_rounds": times,
            "tokens_per_second": 1e3 * tokens / median}  # fmt: skip


def compare(results: dict[str, dict[str, Any]], peers: list[str]) -> None:
    """Add to each result its ratio to the fastest of these peers, round by round."""
    if not peers:
        return
    peer = results[min(peers, key=lambda name: results[name]["ms"])]["ms_rounds"]
    for result in results.values():
        ratios = [a / b for a, b in zip(peer, result["ms_rounds"])]
        result |= {"ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios)}


def print_table(results: dict[str, dict[str, Any]]) -> None:
    on_device = any("device_peak_bytes" in result for result in results.values())
    width = max(26, *(len(name) + 2 for name in results))
    header = f"  {'':{width}}{'ms/step':>9}  {'min .. max':<16}{'tokens/s':>10}  {'ratio':>6}  {'min .. max':<13}"
    header += f"{'peak MiB':>9}"
    print(header + ("  on device" if on_device else ""))
    for name, r in results.items():
        spread = f"{r['ms_min']:.3g} .. {r['ms_max']:.3g}"
        ratio = f"{r['ratio']:6.2f}  {r['ratio_min']:.2f} .. {r['ratio_max']:.2f}" if "ratio" in r else ""
        line = f"  {name:{width}}{r['ms']:9.3f}  {spread:<16}{r['tokens_per_second']:10,.0f}  {ratio:<21}"
        device = f"{r['device_peak_bytes'] / 2**20:11.0f}" if "device_peak_bytes" in r else ""
        print(f"{line}{r['peak_bytes'] / 2**20:9.0f}{device}")
    sys.stdout.flush()


def run_starts(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure and print seconds from the start of a process to its first finished training step, at ptb-small.

    Cold: no cache of compiled code, neither Aesara's nor JAX's. Warm: the caches that the cold start left. Files of the
    libraries come from the system's cache either way.
    """
    sizes = dict(SETTINGS["ptb-small"], embedding_size=SETTINGS["ptb-small"]["hidden_size"])
    sizes |= {"cell": args.cell or sizes["cell"], "num_layers": args.num_layers}
    common = {**sizes, "device": args.device, "tf32": args.device == "gpu" and args.tf32, "weights": None, "gates": "",
              "threads": args.threads}  # fmt: skip
    specs = {f"theano_rnn {engine}": {"kind": "ours", "engine": engine} for engine in args.engines}
    specs["PyTorch"] = {"kind": "torch", "sparse": False, "precision": args.peer_precision[0]}
    print(f"\nseconds from the start of the process to the end of the first training step, ptb-small, {sizes['cell']}")
    results: dict[str, Any] = {}
    for name, spec in specs.items():
        caches = Path(tempfile.mkdtemp(dir=folder))
        flags = [flag for flag in os.environ.get("AESARA_FLAGS", "").split(",") if "compiledir" not in flag]
        environment = {
            "AESARA_FLAGS": ",".join([*filter(None, flags), f"base_compiledir={caches / 'aesara'}"]),
            "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
            "XDG_CACHE_HOME": str(caches / "cache"),
            "THEANO_RNN_CACHE": str(caches / "theano_rnn"),
        }
        seconds = []
        for _ in range(1 + WARM_STARTS):
            began = time.perf_counter()
            spec = {**common, **spec}
            with contextlib.closing(Worker(name, spec, folder, environment_of(spec) | environment)) as worker:
                built = worker.ask()
                if "skip" in built:
                    break
                worker.ask("first")
                seconds.append(time.perf_counter() - began)
        if seconds:
            cold, *warm = seconds
            results[name] = {"cold": cold, "warm": statistics.median(warm), "warm_all": warm}
            print(f"  {name:26}cold {cold:7.1f}   warm {statistics.median(warm):6.2f} "
                  f"({min(warm):.2f} .. {max(warm):.2f})", flush=True)  # fmt: skip
        else:
            results[name] = {"skipped": built["skip"]}
            print(f"  {name} skipped: {built['skip']}", flush=True)
    return results


def machine() -> dict[str, Any]:
    """Returns the facts about this machine that the results depend on."""
    versions = {}
    for package in ("numpy", "scipy", "aesara", "jax", "jaxlib", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    processor = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), processor)
    gpu = ""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        gpu = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": processor, "cores": cores, "load": round(os.getloadavg()[0], 2), "gpu": gpu,
            "python": platform.python_version(), **versions}  # fmt: skip


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), metavar="NAME",
                        help=f"settings to measure, of {', '.join(SETTINGS)} (default: all)")  # fmt: skip
    parser.add_argument("--engines", nargs="+", choices=["c", "jax"],
                        help="our engines, except any that cannot run here (default: c jax; on a GPU jax)")  # fmt: skip
    parser.add_argument("--kernels", nargs="+", choices=["auto", "none"], default=["auto"], metavar="WHICH",
                        help="kernels of the engine jax on a CPU, auto or none; both are two contenders")
    parser.add_argument("--precision", nargs="+", default=["auto"], metavar="PRECISION",
                        choices=["auto", "float32", "tensorfloat32", "bfloat16x3", "bfloat16"],
                        help="of the engine jax, as of the command train; several are several contenders")
    parser.add_argument("--peer-precision", nargs="+", choices=["float32", "bfloat16"], default=["float32"],
                        metavar="PRECISION", help="of PyTorch: float32, bfloat16 (torch.autocast); both are contenders "
                        f"(losses in bfloat16 must agree to {TOLERANCE_BFLOAT16})")  # fmt: skip
    parser.add_argument("--cell", choices=["tanh", "relu", "lstm", "gru", "mogrifier"],
                        help="replace the cell of each setting")
    parser.add_argument("--num-layers", type=int, default=1, metavar="N",
                        help="recurrent layers (default: %(default)s)")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu", help="default: %(default)s")
    parser.add_argument("--tf32", action=argparse.BooleanOptionalAction, default=True,
                        help="on a GPU, float32 matrix products with 10-bit fractions, on both sides (default: yes; "
                        f"losses must then agree to {TOLERANCE_TF32} only, not {TOLERANCE})")  # fmt: skip
    parser.add_argument("--threads", type=int, default=2, help="threads of our engines and of NumPy; PyTorch runs with "
                        "one and with this many (default: %(default)s)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds (default: %(default)s)")
    parser.add_argument("--start", action="store_true", help="measure seconds to the first training step instead: cold "
                        "(no compiled code from before; minutes with the C engine) and warm")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="also write all results to this file")
    args = parser.parse_args()
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    args.engines = args.engines or (["c", "jax"] if args.device == "cpu" else ["jax"])
    report: dict[str, Any] = {"machine": machine(), "arguments": vars(args)}
    print(", ".join(f"{name} {value}" for name, value in report["machine"].items() if value), flush=True)
    if report["machine"]["load"] > 0.5:
        print(f"note: the machine is busy with something else (load {report['machine']['load']:.1f})", flush=True)
    with tempfile.TemporaryDirectory(prefix="theano_rnn_speed_", ignore_cleanup_errors=True) as folder:
        if args.start:
            report["start"] = run_starts(args, Path(folder))
        else:
            report["settings"] = {name: run_setting(name, args, Path(folder)) for name in args.settings}
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
