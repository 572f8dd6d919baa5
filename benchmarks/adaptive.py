"""Compare the adaptive softmax with the full softmax: `python benchmarks/adaptive.py`, trained with Adam on two cores.

Both have the same LSTM and the same batches. They run in turn; results are medians over rounds. XLA compiles once for
each number of slots, and that time is not counted.

    python benchmarks/adaptive.py                                   tokens per second, 100,000 words drawn by Zipf's law
    python benchmarks/adaptive.py --train FILE ...                  the words of a text, padded to 100,000 words
    python benchmarks/adaptive.py --train FILE ... --seconds 120    validation losses after equal training time

The vocabulary of a text is all its words. Words added up to `--vocab-size` never occur: they cost as much time as other
words, and both heads soon learn to ignore them. `--vocab-size 0` adds none.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from command_line import parser_of

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.settings.machine import MachineConfig

FULL = "full soft-max"
ROUND_SECONDS = 3.0  # about
TURN_SECONDS = 5.0  # of training, when losses are compared


class Contender:
    """A model that learns; `seconds` and `tokens` of its updates so far."""

    def __init__(self, name: str, cutoffs: Sequence[int], vocab_size: int, args: argparse.Namespace) -> None:
        import numpy as np

        from theano_rnn.model import RNNLM
        from theano_rnn.settings.network import ModelConfig

        head = "softmax" if name == FULL else "adaptive"
        config = ModelConfig(cell=args.cell, hidden_size=args.hidden_size, embedding_size=args.hidden_size,
                             vocab_size=vocab_size, tie_weights=False, head=head, cutoffs=tuple(cutoffs))  # fmt: skip
        self.name, self.args = name, args
        self.model = RNNLM(config, rng=np.random.default_rng(1))
        names = ("train", "loss") if args.seconds else ("train",)
        self.functions = self.model.compile(*names, engine=args.engine, optimizer="adam", clip_norm=0.25, device="cpu")
        self.state: Any = ()
        self.seconds, self.tokens = 0.0, 0
        self.seen: set[Any] = set()

    def warm_up(self, batches: Sequence[Any]) -> None:
        """Have XLA compile what `batches` need, and forget what was learned from them."""
        from theano_rnn.learning.checkpoint import assign, values_of

        shared = self.model.params | self.model.optimizer_state
        before = values_of(shared)
        for batch in batches:
            shapes = tuple(array.shape for array in self.model.head.prepare(batch.targets, batch.mask))
            if shapes not in self.seen:
                self.seen.add(shapes)
                for _ in range(2):  # the second time with a state that is on the device
                    self.update(batch)
        assign(shared, before)
        self.state, self.seconds, self.tokens = (), 0.0, 0

    def update(self, batch: Any) -> float:
        """Seconds of one update."""
        import numpy as np

        if batch.is_start or not self.state:
            self.state = self.model.initial_state(batch.tokens.shape[1])
        began = time.perf_counter()
        loss, *self.state = self.functions.train(
            batch.tokens, batch.targets, batch.mask, *self.state, np.float32(self.args.learning_rate)
        )
        if not math.isfinite(float(np.asarray(loss))):
            raise SystemExit(f"{self.name}: the loss is {loss}")
        seconds = time.perf_counter() - began
        self.seconds += seconds
        self.tokens += int(batch.mask.sum())
        return seconds

    def validation_loss(self, batches: Sequence[Any]) -> float:
        """In nats per token."""
        from theano_rnn.learning.evaluation import evaluate

        measured = evaluate(self.functions.loss, batches, self.model.initial_state)
        assert measured is not None
        return measured.loss


def zipf_batches(args: argparse.Namespace) -> list[Any]:
    """Batches of independent tokens, the word of rank r in proportion to 1 / r."""
    import numpy as np

    from theano_rnn.learning.batching import Stream

    shares = 1 / np.arange(1, args.vocab_size + 1)
    size = 200 * args.batch_size * args.bptt_steps
    ids = np.random.default_rng(0).choice(args.vocab_size, size=size, p=shares / shares.sum()).astype("int32")
    return stream(Stream, ids, 1, 0, args)


def stream(source: Callable[..., Any], ids: Any, start: int, pad: int, args: argparse.Namespace) -> list[Any]:
    return list(source(ids, batch_size=args.batch_size, bptt_steps=args.bptt_steps, start_id=start, pad_id=pad))


def text_batches(args: argparse.Namespace) -> tuple[list[Any], list[Any], int]:
    """Training and validation batches of the files, and how many words they have."""
    from theano_rnn.learning.batching import Stream, start_id
    from theano_rnn.preprocessing import load_corpus
    from theano_rnn.settings.text import CorpusConfig, TextConfig

    corpus = load_corpus(CorpusConfig(train=tuple(args.train), vocab_size=10**9), TextConfig())
    words = corpus.vocabulary
    start, pad = start_id(words, "stream"), words.pad_id
    parts = (stream(Stream, ids, start, pad, args) for ids in (corpus.train, corpus.valid))
    return *parts, words.vocab_size


def measure_speed(contenders: list[Contender], batches: Sequence[Any], args: argparse.Namespace) -> None:
    """Print tokens per second, and how many times those of the full soft-max."""
    source = itertools.cycle(batches)
    tokens = args.batch_size * args.bptt_steps
    steps, rounds = {}, {}
    for contender in contenders:
        contender.warm_up(batches)
        typical = statistics.median(contender.update(next(source)) for _ in range(5))
        steps[contender.name], rounds[contender.name] = max(3, round(ROUND_SECONDS / typical)), []
    for number in range(args.rounds):
        for contender in rotated(contenders, number):
            seconds = [contender.update(next(source)) for _ in range(steps[contender.name])]
            rounds[contender.name].append(statistics.median(seconds))
    full = rounds[contenders[0].name]
    print(f"{'':28}{'ms/step':>9}  {'min .. max':<16}{'tokens/s':>9}  ratio")
    for contender in contenders:
        ours = rounds[contender.name]
        ratio = statistics.median(theirs / mine for theirs, mine in zip(full, ours))
        spread = f"{1e3 * min(ours):.0f} .. {1e3 * max(ours):.0f}"
        print(f"{contender.name:28}{1e3 * statistics.median(ours):9.1f}  {spread:<16}"
              f"{tokens / statistics.median(ours):9,.0f}  {ratio:5.2f}")  # fmt: skip


def rotated(items: list[Any], number: int) -> list[Any]:
    """The items, another first each time."""
    first = number % len(items)
    return items[first:] + items[:first]


def measure_losses(
    contenders: list[Contender], train: Sequence[Any], valid: Sequence[Any], args: argparse.Namespace
) -> None:
    """Print validation losses after quarters of `args.seconds` of updates."""
    sources: dict[str, Iterator[Any]] = {c.name: itertools.cycle(train) for c in contenders}
    for contender in contenders:
        contender.warm_up(train)
    print(f"{'validation loss, nats a token':32}" + "".join(f"{c.name:>28}" for c in contenders))
    for quarter in range(1, 5):
        until, number = args.seconds * quarter / 4, 0
        while any(c.seconds < until for c in contenders):
            for contender in rotated(contenders, number):
                end = min(contender.seconds + TURN_SECONDS, until)
                while contender.seconds < end:
                    contender.update(next(sources[contender.name]))
            number += 1
        losses = [c.validation_loss(valid) for c in contenders]
        print(f"{f'after {until:g} s':32}" + "".join(f"{loss:28.4f}" for loss in losses), flush=True)
    print(f"{'tokens seen':32}" + "".join(f"{c.tokens:28,}" for c in contenders))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--train", nargs="+", metavar="FILE", help="text; a twentieth of it is for validation")
    parser.add_argument("--seconds", type=float, help="train each for this many seconds, then compare losses")
    parser.add_argument("--vocab-size", type=int, default=100_000, metavar="N",
                        help="output size (default: %(default)s)")
    parser.add_argument("--cutoffs", nargs="+", metavar="N,N", default=["default"],
                        help="first words of the clusters; each list is measured (default: the package's)")
    parser.add_argument("--cell", choices=["tanh", "relu", "lstm", "gru", "mogrifier"], default="lstm")
    parser.add_argument("--hidden-size", type=int, default=200, metavar="N", help="units, and embedding size")
    parser.add_argument("--batch-size", type=int, default=20, metavar="N")
    parser.add_argument("--bptt-steps", type=int, default=35, metavar="N")
    parser.add_argument("--learning-rate", type=float, default=0.001, metavar="X")
    parser.add_argument("--engine", choices=["c", "jax"], default="jax")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds (default: %(default)s)")
    args = parser.parse_args()
    if args.seconds and not args.train:
        parser.error("--seconds needs --train")
    prepare_machine(MachineConfig(engine=args.engine, device="cpu", threads=args.threads))
    if args.engine == "jax" and hasattr(os, "sched_setaffinity"):  # XLA starts a thread for each core it may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    if args.train:
        train, valid, num_words = text_batches(args)
        args.vocab_size = max(args.vocab_size, num_words)
        print(f"{num_words:,} words, {args.vocab_size:,} columns, {len(train):,} batches", end="")
    else:
        train, valid = zipf_batches(args), []
        print(f"{args.vocab_size:,} words by Zipf's law", end="")
    print(f"; {args.cell}, {args.hidden_size} units, batch {args.batch_size}, {args.bptt_steps} steps, engine "
          f"{args.engine}, {args.threads} threads, load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
    contenders = [Contender(FULL, (), args.vocab_size, args)]
    for text in args.cutoffs:
        cutoffs = () if text == "default" else tuple(map(int, text.split(",")))
        contender = Contender(f"adaptive {text}", cutoffs, args.vocab_size, args)
        contender.name = "adaptive " + " ".join(map(str, contender.model.config.cutoffs))
        contenders.append(contender)
    if args.seconds:
        measure_losses(contenders, train, valid, args)
    else:
        measure_speed(contenders, train, args)


if __name__ == "__main__":
    main()
