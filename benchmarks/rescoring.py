"""Can a model tell a sentence from corrupted copies of it?

Each sentence of 5 to 30 words gets nine corrupted copies: in three, two adjacent words are swapped; in three, a word is
replaced by one sampled from the unigram distribution of the training text; in three, a word is dropped.
`scoring.rescoring` ranks each list, with a word bonus tuned on the validation part. The result is the fraction of lists
of the test part in which the true sentence comes first; a tie of n sentences counts 1/n. For comparison, unigrams and
the untrained model are measured too.

    python benchmarks/rescoring.py runs/model.safetensors            the novels of data/austen
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from command_line import parser_of

from theano_rnn.cli.machine import prepare_machine
from theano_rnn.settings.machine import MachineConfig

MACHINE = prepare_machine(MachineConfig())  # before numpy

import numpy as np  # noqa: E402

from theano_rnn.language_model import LanguageModel  # noqa: E402
from theano_rnn.learning.batching import sentence_lengths  # noqa: E402
from theano_rnn.model import RNNLM  # noqa: E402
from theano_rnn.preprocessing import load_corpus  # noqa: E402
from theano_rnn.scoring.nbest import NBestEntry  # noqa: E402
from theano_rnn.scoring.rescoring import BONUSES, ScoredList  # noqa: E402
from theano_rnn.scoring.sentences import Scorer, score_sentences  # noqa: E402

COPIES, SHORTEST, LONGEST = 3, 5, 30


def corrupted(ids: list[int], unigrams: Any, rng: np.random.Generator) -> Iterator[list[int]]:
    """Nine copies of a sentence, each other than it."""
    for _ in range(COPIES):
        places = [i for i in range(len(ids) - 1) if ids[i] != ids[i + 1]]
        i = int(rng.choice(places))
        yield [*ids[:i], ids[i + 1], ids[i], *ids[i + 2 :]]
    for _ in range(COPIES):
        i = int(rng.integers(len(ids)))
        word = ids[i]
        while word == ids[i]:
            word = int(rng.choice(len(unigrams), p=unigrams))
        yield [*ids[:i], word, *ids[i + 1 :]]
    for _ in range(COPIES):
        i = int(rng.integers(len(ids)))
        yield [*ids[:i], *ids[i + 1 :]]


def lists_of(ids: Any, eos_id: int, unigrams: Any, seed: int) -> list[list[list[int]]]:
    """Returns, for each sentence of suitable length, the sentence and its copies, without ends."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(sentence_lengths(ids, eos_id))
    sentences = [part[:-1].tolist() for part in np.split(ids, ends[:-1]) if SHORTEST <= len(part) - 1 <= LONGEST]
    return [[s, *corrupted(s, unigrams, rng)] for s in sentences if len(set(s)) > 1]


def score_lists(lists: list[list[list[int]]], log_probability: Callable[[list[list[int]]], Any]) -> list[ScoredList]:
    """The lists as `rescoring` ranks them; the true one is the first."""
    totals = log_probability([ids for group in lists for ids in group])
    parts = np.split(totals, np.cumsum([len(group) for group in lists])[:-1])
    return [
        ScoredList([NBestEntry("", "", 0.0, [])] * len(group), part, np.array([len(ids) for ids in group]))
        for group, part in zip(lists, parts)
    ]


def by_model(scorer: Scorer) -> Callable[[list[list[int]]], Any]:
    def totals(sentences: list[list[int]]) -> Any:
        given = (("", [*ids, scorer.vocabulary.eos_id]) for ids in sentences)
        scores = score_sentences(scorer.loss, given, scorer.initial_state, scorer.vocabulary,
                                 start_id=scorer.start_id, dtype=scorer.dtype)  # fmt: skip
        return np.array([score.total for score in scores])

    return totals


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a word model, trained on files that still exist")
    parser.add_argument("--seed", type=int, default=1, metavar="N",
                        help="random seed for the corruptions (default: %(default)s)")
    args = parser.parse_args()
    model = LanguageModel(args.checkpoint, engine=MACHINE.engine)
    files = model.task.default_files(model.sections["corpus"], None)
    corpus = load_corpus(files, model.vocabulary.text)
    assert corpus.fingerprint == model.checkpoint.fingerprint, "the text is not the one the model was trained on"
    counts = np.bincount(corpus.train, minlength=model.vocabulary.vocab_size).astype(float)
    log_unigrams = np.log((counts + 1) / (counts + 1).sum())
    drawn = counts.copy()
    drawn[model.vocabulary.eos_id] = 0
    drawn /= drawn.sum()
    valid, test = (lists_of(ids, model.vocabulary.eos_id, drawn, args.seed) for ids in (corpus.valid, corpus.test))
    print(f"{len(valid):,} lists of the validation cut, {len(test):,} of the test cut", flush=True)
    fresh = RNNLM(model.model.config, rng=np.random.default_rng(1))
    scorers = {
        "trained": by_model(model.scorer()),
        "unigrams": lambda sentences: np.array([log_unigrams[[*ids, 1]].sum() for ids in sentences]),  # 1 ends each
        "untrained": by_model(
            model.scorer()._replace(loss=model.compile(fresh, "loss", engine=model.engine, device=model.device))
        ),
    }
    for name, log_probability in scorers.items():
        development, found = score_lists(valid, log_probability), score_lists(test, log_probability)
        tuned = max(BONUSES, key=lambda bonus: share_first(development, bonus))
        for bonus in (0.0, tuned):
            print(f"{name}, word bonus {bonus:g}: the true sentence is first in {share_first(found, bonus):.1%} of "
                  f"{len(found):,} lists", flush=True)  # fmt: skip


def share_first(lists: list[ScoredList], word_bonus: float) -> float:
    """In how many lists the true sentence is first; of n that are equally good it counts as one of n."""
    count = 0.0
    for each in lists:
        scores = each.scores(1.0, word_bonus)
        is_best = scores >= scores.max() - 1e-6
        count += is_best[0] / is_best.sum()
    return count / len(lists)


if __name__ == "__main__":
    main()
