"""BLEU and chrF of translations and captions, computed by sacrebleu as in publications: cased, with the tokens of 13a.

BLEU of a corpus is no mean over its sentences; it is computed from sums of counts (Papineni et al. 2002):

    BLEU = 100 min(1, exp(1 - r / h)) (p_1 p_2 p_3 p_4)^(1/4)

where p_n is the share of the n-grams of all texts that are in their references, h the tokens of all texts, r those of
all references. So the counts of each text suffice to compare many choices among texts.

NumPy is imported by the functions only, because commands import this module before they set NumPy's threads.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from theano_rnn.settings.base import UserError

MAX_ORDER = 4  # of n-grams


class TranslationScore(NamedTuple):
    """A measure of translations, from 0 to 100, and sacrebleu's signature, which says how it was computed."""

    name: str
    score: float
    signature: str


def translation_scores(texts: Sequence[str], references: Sequence[str | Sequence[str]]) -> list[TranslationScore]:
    """Returns BLEU and chrF of texts against a reference or several each.

    Raises
    ------
    UserError
        sacrebleu is not installed.
    """
    check_sacrebleu()
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    found = []
    lists = [[each] if isinstance(each, str) else each for each in references]
    streams = [list(stream) for stream in itertools.zip_longest(*lists)]
    for name, metric in (("BLEU", BLEU()), ("chrF", CHRF())):
        score = metric.corpus_score(list(texts), streams).score
        found.append(TranslationScore(name, float(score), str(metric.get_signature())))
    return found


def bleu_counts(texts: Sequence[str], references: Sequence[str]) -> Any:
    """Returns what `bleu_of_counts` needs of each text, int64 (texts, 10).

    A row has the matching n-grams of the orders 1 to 4, all n-grams of these orders, and the numbers of tokens of the
    text and of its reference.

    Raises
    ------
    UserError
        sacrebleu is not installed.
    """
    check_sacrebleu()
    import numpy as np
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(effective_order=True)  # of a sentence; the counts are those of a corpus
    scores = (bleu.sentence_score(text, [reference]) for text, reference in zip(texts, references, strict=True))
    rows = [[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores]
    return np.array(rows, np.int64).reshape(-1, 2 * MAX_ORDER + 2)


def bleu_of_counts(sums: Any) -> Any:
    """Returns BLEU, from 0 to 100, float64 (choices,), from the sums of `bleu_counts` over all texts, (choices, 10)."""
    import numpy as np
    from sacrebleu.metrics.bleu import BLEU

    found = []
    for row in np.asarray(sums).tolist():
        matches, totals, (length, wanted) = row[:MAX_ORDER], row[MAX_ORDER:-2], row[-2:]
        found.append(BLEU.compute_bleu(matches, totals, length, wanted, smooth_method="exp").score)  # as of a corpus
    return np.array(found, np.float64)


def check_sacrebleu(extra: str = "translate") -> None:
    """Raises `UserError` if sacrebleu is not installed. `extra` is the extra of this package to install."""
    if importlib.util.find_spec("sacrebleu") is None:
        what = {"translate": "translations", "describe": "captions"}[extra]
        raise UserError(f"{what} are measured with sacrebleu, which is not installed: run "
                        f"pip install 'theano_rnn[{extra}]'")  # fmt: skip
