"""How often sentences end their paragraphs: counted against a plain loop, over files, blocks and chunks."""

import numpy as np
import pytest

from theano_rnn.preprocessing import load_corpus
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text import paragraphs
from theano_rnn.text.paragraphs import PlaceInParagraph, paragraph_ends
from theano_rnn.text.tokenizing import TokenizedFile
from theano_rnn.text.vocabulary import Vocabulary

TYPES = ["</s>", "</s>", "She", ".", "``", "''", "!"]


def drawn(seed, size):
    """Sentences that end with one of the marks, some of them in quotations; every third one ends its paragraph."""
    rng, ids = np.random.default_rng(seed), []
    while len(ids) < size:
        ids += [*rng.integers(2, 7, rng.integers(1, 6)), rng.choice([3, 5, 6]), int(rng.random() < 1 / 3)]
    return np.array(ids, np.int32)


def counted(ids):
    """By a plain loop: {(last token, whether a quotation is open): [sentences, ends of paragraphs]}."""
    place, found = PlaceInParagraph({}), {}
    for number in ids:
        if number > 1:
            place.read(TYPES[number])
            continue
        entry = found.setdefault((place.last, place.is_open), [0, 0])
        entry[0] += 1
        entry[1] += number == 1
        if number == 1:
            place.end_paragraph()
    return found


def test_rates_are_those_of_a_plain_loop():
    ids = drawn(1, 5000)
    rates, found = paragraph_ends([((ids, TYPES), 0, ids.size)]), counted(ids)
    total = sum(entry[1] for entry in found.values()) / sum(entry[0] for entry in found.values())
    assert set(rates) == {"", ".", "''", "!"}
    for token in (".", "''", "!"):
        for is_open in (False, True):
            num_sentences, num_ends = found.get((token, is_open), (0, 0))
            assert rates[token][is_open] == pytest.approx((num_ends + 2 * total) / (num_sentences + 2), abs=1e-4)


def test_only_the_given_part_counts():
    ids = np.array(([2, 3, 0] * 50 + [2, 3, 1] * 50), np.int32)
    assert paragraph_ends([((ids, TYPES), 0, 150)]) == {}
    assert paragraph_ends([((ids, TYPES), 150, 300)])["."][0] == 1


def test_blocks_change_little(monkeypatch):
    ids = drawn(2, 20_000)
    whole = paragraph_ends([((ids, TYPES), 0, ids.size)])
    monkeypatch.setattr(paragraphs, "BLOCK_IDS", 1000)
    for token, pair in paragraph_ends([((ids, TYPES), 0, ids.size)]).items():
        assert pair == pytest.approx(whole[token], abs=0.02)


def test_a_text_without_paragraphs_has_no_rates():
    ids = np.array([2, 3, 0] * 500 + [1], np.int32)
    assert paragraph_ends([(TokenizedFile(ids, TYPES), 0, ids.size)]) == {}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_corpus_knows_how_its_paragraphs_end(tmp_path, monkeypatch, num_workers):
    """Also if chunks end between paragraphs."""
    monkeypatch.setenv("THEANO_RNN_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "text.txt"
    text.write_text("She went. He went! She stayed.\n\n" * 40 + '"Oh! No." He sighed. "Yes."\n \n' * 40)
    found = load_corpus(CorpusConfig(train=(str(text),), test_fraction=0.0, valid=str(text)), TextConfig(),
                        num_workers=num_workers)  # fmt: skip
    ends = found.vocabulary.paragraph_ends
    assert ends["."][0] == pytest.approx(40 / 120, abs=0.02)
    assert ends["''"][0] == pytest.approx(40 / 80, abs=0.02)
    assert ends["!"][0] < 0.05
    again = Vocabulary.from_json(found.vocabulary.to_json())
    assert again == found.vocabulary and {k: tuple(v) for k, v in again.paragraph_ends.items()} == ends
    lines = load_corpus(CorpusConfig(train=(str(text),)), TextConfig(sentences="line"))
    assert lines.vocabulary.paragraph_ends == {}


def test_the_fingerprint_of_a_corpus_does_not_depend_on_its_paragraphs(tmp_path):
    """Or runs of older versions could not be resumed."""
    text = tmp_path / "text.txt"
    text.write_text("She went. He went! She stayed.\n\n" * 40)
    new = load_corpus(CorpusConfig(train=(str(text),)), TextConfig())
    old = Vocabulary(new.vocabulary.words, new.vocabulary.text, {})
    resumed = load_corpus(CorpusConfig(train=(str(text),)), TextConfig(), vocabulary=old)
    assert resumed.fingerprint == new.fingerprint
    assert resumed.vocabulary.paragraph_ends == {}


@pytest.mark.parametrize("ends", [[], {"a": [0.1, 0.2]}, {"": [0.1]}, {"": [0.1, 2]}, {"": [0.1, "x"]}, {"": 0.5},
                                  {"": [0.1, float("nan")]}])  # fmt: skip
def test_damaged_rates_are_refused(ends):
    values = Vocabulary(("a",)).to_json() | {"paragraph_ends": ends}
    with pytest.raises(UserError, match="paragraph_ends"):
        Vocabulary.from_json(values)
