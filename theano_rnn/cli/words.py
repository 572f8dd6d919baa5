"""``words``: the words that a model takes for similar, and its word vectors as a text file."""

from __future__ import annotations

import argparse
from pathlib import Path

from theano_rnn.cli.files import CHECKPOINT_HELP, check_output
from theano_rnn.cli.options import Parser
from theano_rnn.cli.streams import visible
from theano_rnn.engine.aesara_flags import disable_c_compiler
from theano_rnn.settings.base import UserError


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Show which words a trained model uses alike: their vectors, the rows of the embedding, point in "
        "nearly the same direction. The number before each word is the cosine of the angle between the vectors: 1 for "
        "the same direction, 0 for a right angle.",
        epilog=f"examples:\n  {prog} runs/model.safetensors sister Monday\n"
        f"  {prog} runs/model.safetensors --analogy he she brother    brother is to he as what is to she\n"
        f"  {prog} runs/model.safetensors --vectors austen.vec        all vectors, as gensim and fastText read them",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT_HELP)
    parser.add_argument("words", nargs="*", metavar="WORD", help="list the words that are nearest to each of these")
    parser.add_argument("--analogy", nargs=3, metavar=("A", "B", "C"), help="list the words that are to C as B is to A")
    parser.add_argument("--num", type=int, default=10, metavar="N", help="number of words in each list "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--vectors", metavar="FILE", help="write all words with their vectors to this file")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    if args.num < 1:
        raise UserError(f"--num must be at least 1, got {args.num}")
    if not (args.words or args.analogy or args.vectors):
        raise UserError("name words to look up, or give --analogy or --vectors")
    if args.vectors:
        check_output(Path(args.vectors), [args.checkpoint], is_forced=args.force)
    disable_c_compiler()
    from theano_rnn.learning.atomic_files import write_atomically
    from theano_rnn.learning.checkpoint import load
    from theano_rnn.tasks.registry import task_of_checkpoint
    from theano_rnn.text.words import EOS, UNK
    from theano_rnn.view.word_vectors import WordVectors

    checkpoint = load(args.checkpoint)
    task_of_checkpoint(checkpoint)  # or an error, if its values do not fit
    words = (UNK, EOS, *checkpoint.vocabulary.words)
    vectors = WordVectors(words, checkpoint.best["embedding"][: len(words)])
    lists = [(word, vectors.nearest(word, args.num)) for word in args.words]
    if args.analogy:
        a, b, c = args.analogy
        lists.append((f"{a} : {b} = {c} : ?", vectors.analogy(a, b, c, args.num)))
    for title, found in lists:
        print(visible(title))
        print("".join(f"  {similarity:5.2f}  {visible(word)}\n" for word, similarity in found))
    if args.vectors:
        count, *lines = vectors.lines()
        Path(args.vectors).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(args.vectors, "".join([count, *lines]).encode("utf-8", "backslashreplace"))
        print(f"wrote {args.vectors}: {len(lines):,} words, {vectors.vectors.shape[1]} dimensions")
    return 0
