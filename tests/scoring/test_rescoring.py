"""N-best lists: reading, ranking and writing them; tuning of the weights."""

import numpy as np
import pytest

from theano_rnn.scoring.nbest import NBestEntry, parse_entry, read_lists
from theano_rnn.scoring.rescoring import ScoredList, score_lists, tune_weights
from theano_rnn.scoring.sentences import SentenceScore
from theano_rnn.settings.base import UserError


class LengthScorer:
    """Gives each word the log-probability -2 and records the sentences."""

    def __init__(self):
        self.asked = []

    def sentences(self, sentences):
        for sentence in sentences:
            self.asked.append(sentence)
            count = len(sentence.split())
            yield SentenceScore(sentence, np.zeros(count + 1), np.full(count + 1, -2.0))


MOSES = ["0 ||| a b c ||| LM0= -1 ||| -3.5\n", "0 ||| a ||| LM0= -1 ||| -4\n", "1 ||| b ||| ||| 2 ||| 0-0\n"]


def test_lists_are_lines_with_the_same_id():
    assert [[entry.text for entry in group] for group in read_lists(MOSES, "file")] == [["a b c", "a"], ["b"]]
    assert [len(group) for group in read_lists(["7\ta\t1\n", "\n", "7\tb\t2\r\n", "8\tc\t3"], "file")] == [2, 1]


def test_what_is_written_is_read_again():
    for line in [*MOSES, "3\tan owl\t-1.5"]:
        entry = parse_entry(line)
        again = parse_entry(entry.format(-7.25, log_probability=-1.0))
        assert (again.id, again.text, again.score) == (entry.id, entry.text, -7.25)
        assert again.fields[4:] == entry.fields[4:]


def test_an_empty_hypothesis_is_one():
    assert parse_entry("0 |||  |||  ||| -1").text == "" and parse_entry("0\t\t-1").text == ""


BAD_LINES = ["a", "0\ttext", "0\ttext\tx", "0\ta\t1\t2", "0 ||| a ||| b", "0 ||| a ||| b ||| x", "0\ta\tnan"]


@pytest.mark.parametrize("line", BAD_LINES)
def test_other_lines_are_refused(line):
    with pytest.raises(UserError, match="file line 2 must be"):
        list(read_lists(["0\ta\t1\n", line + "\n"], "file"))


def test_scores_are_those_of_the_equation_and_ties_keep_their_order():
    entries = [NBestEntry("0", text, score, []) for text, score in [("a", 1.0), ("b c", 1.0), ("d e", 1.0)]]
    group = next(score_lists([entries], LengthScorer()))
    np.testing.assert_allclose(group.scores(0.5, 3.0), [1 - 2 + 3, 1 - 3 + 6, 1 - 3 + 6])
    assert [entry.text for entry, *_ in group.ranked(0.5, 3.0)] == ["b c", "d e", "a"]
    assert [entry.text for entry, *_ in group.ranked(0.5, 0.0)] == ["a", "b c", "d e"]


def test_a_hypothesis_is_scored_once_however_often_it_is_there(monkeypatch):
    monkeypatch.setattr("theano_rnn.scoring.rescoring.READ_AHEAD", 4)
    groups = [[NBestEntry(str(i), text, 0.0, []) for text in ("a", "a", "b")] for i in range(5)]
    scorer = LengthScorer()
    found = list(score_lists(iter(groups), scorer))
    assert [group.entries for group in found] == groups
    assert scorer.asked == ["a", "b"] * 3


def group_of(log_probabilities, texts, before=None):
    before = before or [0.0] * len(texts)
    entries = [NBestEntry("0", text, score, []) for text, score in zip(texts, before)]
    return ScoredList(entries, np.array(log_probabilities), np.array([len(text.split()) for text in texts]))


def test_tuning_finds_the_bonus_that_long_hypotheses_need():
    groups = [group_of([-4.0, -6.0], ["a b", "a b c"]), group_of([-9.0, -8.0], ["x y", "z y"])]
    found = tune_weights(groups, ["a b c", "z y"], "exact")
    assert (found.value, found.before) == (0, 1) and found.word_bonus > 2 * found.weight > 0
    assert tune_weights(groups, ["a b c", "none"], "exact").value == 0.5
    assert tune_weights(groups, ["a b c", "z none"], "wer").value == pytest.approx(1 / 5)


def test_a_model_that_misleads_gets_no_weight():
    groups = [group_of([-1.0, -9.0], ["wrong", "right"], [-2.0, -1.0])]
    assert tune_weights(groups, ["right"], "exact")[:2] == (0.0, 0.0)


def test_a_bonus_alone_may_be_best():
    """Here the model prefers the wrong one of texts of equal length, and the score short texts."""
    groups = [group_of([-1.0, -9.0, -1.0], ["a wrong", "a right", "a"], [-2.0, -1.0, 0.1])]
    found = tune_weights(groups, ["a right"], "exact")
    assert found.weight == 0 and found.word_bonus >= 1 and (found.value, found.before) == (0, 1)


def test_weights_are_tuned_for_bleu():
    """The grid point whose best hypotheses have the highest BLEU of the corpus, which is no mean over sentences."""
    pytest.importorskip("sacrebleu")
    from theano_rnn.scoring.bleu import translation_scores

    rng = np.random.default_rng(0)
    words = ["the", "a", "dog", "cat", "sees", "runs", "on", "grass", "red", "big"]
    references = [" ".join(rng.choice(words, length)) for length in (9, 6, 12, 8)]
    groups = []
    for reference in references:
        texts = [reference.replace(*rng.choice(words, 2), 2) for _ in range(4)] + [" ".join(rng.choice(words, 5))]
        groups.append(group_of(rng.normal(-10, 3, 5), texts, rng.normal(-5, 3, 5).tolist()))

    def bleu(weight, bonus):
        best = [group.ranked(weight, bonus)[0][0].text for group in groups]
        return translation_scores(best, references)[0].score

    found = tune_weights(groups, references, "bleu")
    assert found.value == pytest.approx(bleu(found.weight, found.word_bonus))
    assert found.before == pytest.approx(bleu(0.0, 0.0)) and found.value > found.before + 1
    others = [bleu(weight, weight * bonus) for weight in (0.1, 0.5, 1.0, 3.0) for bonus in (-1.0, 0.0, 1.0, 4.0)]
    assert found.value >= max(others) - 1e-9
