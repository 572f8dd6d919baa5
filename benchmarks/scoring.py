"""Measure the time of scoring a large text, the model's share of it, and the peak memory.

    python benchmarks/scoring.py runs/model.safetensors book.txt

Three parts are timed separately: tokenizing the text (without the cache), `evaluate` on the ids, and only the model's
``loss``, called repeatedly with prepared batches of the same shape. Peak memory is that of the process and its child
processes together, with shared pages counted once, sampled five times a second. With `--sentences`, each sentence is
scored separately, as `score` does without --stream.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from command_line import parser_of

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.settings.machine import MachineConfig


class PeakMemory(threading.Thread):
    """The most memory, in MiB, of this process and of all that it started; on Linux."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mib = 0.0
        self.start()

    def run(self) -> None:
        while True:
            self.mib = max(self.mib, sum(map(proportional_kib, tree(os.getpid()))) / 1024)
            time.sleep(0.2)


def tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue  # it has ended
        for child in children:
            yield from tree(int(child))


def proportional_kib(pid: int) -> int:
    """Memory of a process, its share of what others have mapped, too."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("text", metavar="FILE")
    parser.add_argument("--engine", default="auto", choices=["auto", "jax", "c"])
    parser.add_argument("--sentences", action="store_true", help="score each sentence separately")
    args = parser.parse_args()
    peak = PeakMemory()
    machine = prepare_machine(MachineConfig(engine=args.engine))

    from theano_rnn.language_model import LanguageModel
    from theano_rnn.learning.batching import text_batches
    from theano_rnn.learning.evaluation import evaluate
    from theano_rnn.preprocessing import encode_file
    from theano_rnn.text.reading import read_sentences

    model = LanguageModel(args.checkpoint, engine=machine.engine)
    loss, vocabulary = model.function("loss"), model.vocabulary
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        began = time.perf_counter()
        ids = encode_file(args.text, vocabulary)
        tokenizing = time.perf_counter() - began
    size = os.path.getsize(args.text) / 1e6
    print(f"splitting {size:.1f} MB: {tokenizing:.1f} s, {len(ids):,} tokens; peak {peak.mib:,.0f} MiB", flush=True)
    if args.sentences:
        began = time.perf_counter()
        count = sum(len(score.ids) for score in model.score(read_sentences(args.text, vocabulary.text)))
        seconds = time.perf_counter() - began
        print(f"sentences: {seconds:.1f} s, {count / seconds:,.0f} tokens/s; peak {peak.mib:,.0f} MiB")
        return
    batches = text_batches(ids, vocabulary, model.training, dtype=model.model.config.dtype)
    evaluate(loss, batches[:3], model.model.initial_state)
    began = time.perf_counter()
    measured = evaluate(loss, batches, model.model.initial_state)
    assert measured is not None
    seconds = time.perf_counter() - began
    some, state = batches[:200], model.model.initial_state(batches[0].tokens.shape[1])
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < 15:
        for batch in some:
            losses, *_ = loss(batch.tokens, batch.targets, batch.mask, *state)
            float(losses[0, 0])
            count += int(batch.tokens.size)
    own = count / (time.perf_counter() - began)
    speed = measured.num_targets / seconds
    print(f"evaluate: {seconds:.1f} s, {speed:,.0f} tokens/s; the model's own {own:,.0f}: {speed / own:.1%}")
    print(f"share of the whole: splitting {tokenizing / (tokenizing + seconds):.0%}")
    print(f"loss {measured.loss:.6f}; peak {peak.mib:,.0f} MiB")


if __name__ == "__main__":
    main()
