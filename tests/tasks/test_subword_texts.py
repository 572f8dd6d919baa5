"""Texts with labels or translations, with subwords: each has the pieces of its words, and its length counts them."""

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from theano_rnn.settings.classification import LabelledTextsConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.translation import ParallelTextsConfig
from theano_rnn.tasks.labelled_corpus import load_labelled_texts
from theano_rnn.tasks.parallel_corpus import load_pairs
from theano_rnn.text.parallel_sources import line_tokenizer
from theano_rnn.text.whole_texts import pieces_of_text, text_encoder

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
    encode = text_encoder(vocabulary)
    assert {tuple(encode(text)): label for label, text in TEXTS} == seen
    assert all([piece.id for piece in pieces_of_text(text, vocabulary)] == encode(text) for _, text in TEXTS)


@pytest.mark.parametrize("is_shared", [False, True])
def test_both_sides_of_a_pair_have_the_pieces_of_their_words(tmp_path, monkeypatch, is_shared):
    monkeypatch.setenv("THEANO_RNN_CACHE", str(tmp_path / "cache"))
    lines = [text for _, text in TEXTS], [f"Ein {label}er Film: {text[:5]}ß!" for label, text in TEXTS]
    names = [str(tmp_path / name) for name in ("source.txt", "target.txt")]
    for name, side in zip(names, lines):
        with open(name, "w", encoding="utf-8") as file:
            file.write("\n".join(side) + "\n")
    config = ParallelTextsConfig(train=tuple(names), vocab_size=400, valid_fraction=0.2)
    corpus = load_pairs(config, TextConfig("subword", sentences="line"), is_shared=is_shared)
    assert (corpus.source_vocabulary == corpus.vocabulary) == is_shared
    found = ([], [])
    for part in ("train", "valid", "test"):
        pairs = corpus.parts[part]
        sides = (pairs.source, pairs.source_lengths), (pairs.target, pairs.target_lengths)
        for side, (ids, lengths) in enumerate(sides):
            found[side].extend(each.tolist() for each in np.split(ids, np.cumsum(lengths)[:-1]))
    for side, vocabulary in enumerate((corpus.source_vocabulary, corpus.vocabulary)):
        for line, ids in zip(lines[side], found[side], strict=True):
            assert ids == [*(number for word in line.split() for number in vocabulary.ids_of_token(word)), 1]


def test_a_translator_splits_lines_as_its_training_does(tmp_path):
    lines = [f"The unusual {noun} runs unusually." for noun in ("dog", "dogs", "cat", "catfish")] * 10
    paths = tuple(str(tmp_path / name) for name in ("a.en", "a.de"))
    for path in paths:
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    text = TextConfig(unit="subword", sentences="line")
    corpus = load_pairs(ParallelTextsConfig(train=paths, valid=paths, vocab_size=330), text)
    vocabulary, pairs = corpus.source_vocabulary, corpus.parts["valid"]
    split = line_tokenizer(vocabulary)
    expected = [i for line in lines for i in [*vocabulary.encode(split(line)).tolist(), vocabulary.eos_id]]
    assert pairs.source.tolist() == expected
