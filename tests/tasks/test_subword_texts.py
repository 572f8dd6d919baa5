"""Labelled texts with subwords: each text has the pieces of its words, and its length counts them."""

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from theano_rnn.settings.classification import LabelledTextsConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.labelled_corpus import load_labelled_texts

TEXTS = [(label, f"A {word} film. {word}, really é{'y' * number}!")
         for number, (label, word) in enumerate([("pos", "charming"), ("neg", "dull")] * 12)]  # fmt: skip


@pytest.mark.parametrize("sentences", ["punkt", "line"])
def test_a_text_has_the_pieces_of_its_words(tmp_path, monkeypatch, sentences):
    monkeypatch.setenv("THEANO_RNN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "texts.tsv").write_text("".join(f"{label}\t{text}\n" for label, text in TEXTS), encoding="utf-8")
    config = LabelledTextsConfig(train=(str(tmp_path / "texts.tsv"),), vocab_size=400, valid_fraction=0.2)
    corpus = load_labelled_texts(config, TextConfig("subword", sentences=sentences))
    seen = {}
    for part in corpus.parts.values():
        assert part.lengths.sum() == len(part.ids)
        for ids, label in zip(np.split(part.ids, np.cumsum(part.lengths)[:-1]), part.labels):
            seen[tuple(ids.tolist())] = corpus.labels[label]
    vocabulary, expected = corpus.vocabulary, {}
    for label, text in TEXTS:
        ids = [number for word in text.split() for number in vocabulary.ids_of_token(word)]
        expected[tuple(ids)] = label
    assert {tuple(number for number in ids if number != 1): label for ids, label in seen.items()} == expected
    assert len(seen) == len(TEXTS)
