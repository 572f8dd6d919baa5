"""``score``: log-probabilities and perplexity of text under a checkpoint."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.config import MachineConfig

if TYPE_CHECKING:
    from theano_rnn.cli.trained import Trained


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="One line for each sentence of the input: log-probability in nats TAB number of tokens, the end "
        "of the sentence included, TAB perplexity TAB sentence. Every sentence is scored for itself.",
        epilog=f'examples:\n  echo "It is a truth." | {prog} runs/model.safetensors\n'
        f"  {prog} runs/model.safetensors book.txt --summary\n"
        f"  {prog} runs/model.safetensors book.txt --stream    perplexity as it is published, state carried",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a trained model")
    parser.add_argument("file", nargs="?", default="-", metavar="FILE",
                        help="text, .csv with a `body` column, either as .gz (default: standard input)")  # fmt: skip
    parser.add_argument("--sentences", choices=("punkt", "line", "punkt_tab"), default=None,
                        help="where sentences end (default: as in training); line: every line is one")  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--per-token", action="store_true", help="a line for each token: log-probability TAB token; "
                      "an empty line after each sentence")  # fmt: skip
    what.add_argument("--summary", action="store_true", help="one JSON object for the whole text instead")
    what.add_argument("--stream", action="store_true", help="one JSON object for the whole text as one stream: state "
                      "carried from sentence to sentence, </s> counted")  # fmt: skip
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    machine = prepare_machine(sections_from(vars(args), {"machine": MachineConfig})["machine"])
    from theano_rnn.cli.trained import Trained

    trained = Trained(args.checkpoint, machine)
    if args.sentences:
        text = dataclasses.replace(trained.vocabulary.text, sentences=args.sentences)
        trained.vocabulary = dataclasses.replace(trained.vocabulary, text=text)
    if args.file != "-":
        with open(args.file, "rb"):  # a wrong name is said before anything is compiled
            pass
    if args.stream:
        print(json.dumps(stream_summary(trained, args.file)))
        return 0
    scores = sentence_scores(trained, args.file)
    if args.summary:
        print(json.dumps(summary(trained, scores)))
    elif args.per_token:
        for score in scores:
            for token, value in zip(trained.vocabulary.decode(score.ids), score.log_probabilities):
                print(f"{value:.6f}\t{json.dumps(token, ensure_ascii=False)[1:-1]}")
            print()
    else:
        from theano_rnn.scoring import perplexity

        for score in scores:
            count = len(score.ids)
            print(f"{score.total:.6f}\t{count}\t{perplexity(-score.total / count):.4f}\t{score.sentence}")
    return 0


def stream_summary(trained: Trained, path: str) -> dict[str, Any]:
    """Loss of a text as one stream, in as many columns as the training used."""
    import numpy as np

    from theano_rnn.cli.console import Bar
    from theano_rnn.cli.trained import batches_of
    from theano_rnn.corpus import encode_file
    from theano_rnn.scoring import evaluate, perplexity

    vocabulary, model = trained.vocabulary, trained.model
    ids = encode_file(path, vocabulary)
    training = dataclasses.replace(trained.training, batching="stream")
    batches = batches_of(ids, vocabulary, training, dtype=model.config.dtype)
    bar = Bar("scoring", unit=" tokens", total=len(ids), delay=2.0, unit_scale=True)
    measured = evaluate(trained.compiled("loss"), batches, model.initial_state, on_batch=bar.to)
    bar.close()
    assert measured is not None
    return {
        "tokens": measured.tokens,
        "loss": measured.loss,
        "perplexity": perplexity(measured.loss),
        "unk_rate": float(np.mean(ids == vocabulary.unk_id)),
        "sentences": int(np.sum(ids == vocabulary.eos_id)),
    }


def sentence_scores(trained: Trained, path: str) -> Iterator[Any]:
    """A score for each sentence of a text, in a stream."""
    from theano_rnn.corpus import read_sentences
    from theano_rnn.preprocessing import word_tokenizer
    from theano_rnn.scoring import score_sentences

    vocabulary, model = trained.vocabulary, trained.model
    tokenize = word_tokenizer(vocabulary.text)
    end = [vocabulary.eos_id]
    if vocabulary.text.unit == "char":
        end = [vocabulary.token_to_id("\n")] if "\n" in vocabulary else []
    sentences = read_sentences(path, vocabulary.text)
    first = next(sentences)  # a file that is no text is said before anything is compiled
    encoded = ((s, [*vocabulary.encode(tokenize(s)), *end]) for s in itertools.chain([first], sentences))
    loss = trained.compiled("loss")
    return score_sentences(loss, encoded, model.initial_state, vocabulary, start_id=trained.start_id,
                           dtype=model.config.dtype)  # fmt: skip


def summary(trained: Trained, scores: Iterator[Any]) -> dict[str, Any]:
    """Sums over all sentences; the loss is per token, ends of sentences counted."""
    from theano_rnn.scoring import perplexity

    total, tokens, unknown, sentences = 0.0, 0, 0, 0
    for score in scores:
        total += score.total
        tokens += len(score.ids)
        unknown += int((score.ids == trained.vocabulary.unk_id).sum())
        sentences += 1
    loss = -total / tokens
    return {"tokens": tokens, "loss": loss, "perplexity": perplexity(loss), "unk_rate": unknown / tokens,
            "sentences": sentences}  # fmt: skip
