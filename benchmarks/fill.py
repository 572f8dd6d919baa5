r"""Compare the accuracy of the first guess of a fill-in model and a language model on the same words.

Both checkpoints must be trained on the same text with the same split; the words are those of its test part, without the
ends of sentences. The language model reads the text as one stream; the fill-in model reads single sentences. Neither
may guess `</s>`. A second accuracy covers only known words; there, neither may guess `<unk>`.

    for task in fill next; do
        python scripts/train.py --task $task --dropout 0.2 --epochs 3 --checkpoint runs/$task.safetensors
    done
    python benchmarks/fill.py runs/fill.safetensors runs/next.safetensors
"""

from __future__ import annotations

import itertools
from typing import Any

from command_line import parser_of

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.settings.machine import MachineConfig

MACHINE = prepare_machine(MachineConfig())  # before numpy

import numpy as np  # noqa: E402

from theano_rnn.cli.model_loading import open_model  # noqa: E402
from theano_rnn.preprocessing import load_corpus  # noqa: E402
from theano_rnn.tasks.blanks import examples  # noqa: E402
from theano_rnn.tasks.trained_model import TrainedModel  # noqa: E402
from theano_rnn.text.words import detokenize  # noqa: E402


def guesses(trained: TrainedModel, ids: Any) -> tuple[Any, Any, Any]:
    """(words, first guesses, first guesses among known words) in the order of the batches."""
    predict, facts, dtype = trained.function("predict"), trained.checkpoint.facts, trained.model.config.dtype
    vocabulary = facts["vocabulary"]
    found, state = [], ()
    for batch in trained.task.batches(ids, trained.sections, facts, dtype=dtype):
        state = trained.model.initial_state(batch.tokens.shape[1]) if batch.is_start else state
        seen = (batch.tokens, batch.targets) if trained.model.sees_future else (batch.tokens,)
        log_p, *state = predict(*seen, batch.mask, *state)
        counted = (batch.mask > 0) & (batch.targets != vocabulary.eos_id)
        log_p = np.array(log_p)[counted]
        log_p[:, vocabulary.eos_id] = -np.inf
        any_word = log_p.argmax(axis=1)
        log_p[:, vocabulary.unk_id] = -np.inf
        found.append((batch.targets[counted], any_word, log_p.argmax(axis=1)))
    return tuple(map(np.concatenate, zip(*found)))


def report(name: str, words: Any, any_word: Any, known_word: Any, unk_id: int) -> None:
    is_known = words != unk_id
    share, known = np.mean(words == any_word), np.mean(words[is_known] == known_word[is_known])
    print(f"{name}: {share:.2%} of {len(words):,} words; {known:.2%} of the {is_known.sum():,} known ones", flush=True)


def show(trained: TrainedModel, ids: Any, count: int, seed: int) -> None:
    """Sentences of `ids`, drawn at random, one word of each left out, and five guesses."""
    vocabulary, model = trained.checkpoint.vocabulary, trained.model
    found = examples(trained.function("predict"), model.initial_state, vocabulary, ids,
                     rng=np.random.default_rng(seed), dtype=model.config.dtype)  # fmt: skip
    for tokens, word, guesses in itertools.islice(found, count):
        print(f"- {detokenize(tokens, vocabulary.text)}\n  {word}: {', '.join(f'{g} {p:.2f}' for g, p in guesses)}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("fill", metavar="CHECKPOINT", help="trained with --task fill")
    parser.add_argument("next", metavar="CHECKPOINT", help="trained with --task next, on the same text")
    parser.add_argument("--examples", type=int, default=10, metavar="N",
                        help="sentences to show (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="N",
                        help="random seed for the examples (default: %(default)s)")
    args = parser.parse_args()
    both = {task: open_model(getattr(args, task), MACHINE, task=task) for task in ("fill", "next")}
    first = both["fill"]
    files = first.task.default_files(first.sections["corpus"], None)
    corpus = load_corpus(files, first.checkpoint.vocabulary.text)
    if {trained.checkpoint.fingerprint for trained in both.values()} != {corpus.fingerprint}:
        raise SystemExit("the checkpoints come from different texts, or the text has changed")
    if corpus.test is None:
        raise SystemExit("the checkpoints were made without a test cut")
    for task, trained in both.items():
        report(task, *guesses(trained, corpus.test), trained.checkpoint.vocabulary.unk_id)
    show(first, corpus.test, args.examples, args.seed)


if __name__ == "__main__":
    main()
