"""Inspection of a model against a plain loop, features of tokens, and spans of tokens in their text."""

import numpy as np
import pytest
from play_models import opened
from tiny_runs import sentences

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.token_spans import Piece, pieces_of_sentences, split_by_tokens
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import word_tokenizer
from theano_rnn.view.inspection import (
    correlations,
    inside_quotes,
    inspect_tokens,
    positions,
    starts_with_capital,
    state_names,
)

IDS = [3, 4, 5, 1, 3, 7]


def inspection(reset_id=None, **options):
    model, _, _ = opened()
    step, state = model.function("step"), model.model.initial_state(1)
    return inspect_tokens(step, state, IDS, start_id=model.start_id, reset_id=reset_id, **options)


def test_it_finds_what_a_plain_loop_finds():
    model, _, _ = opened()
    step, state = model.function("step"), model.model.initial_state(1)
    found, token = inspection(), model.start_id
    for i, following in enumerate(IDS):
        log_probabilities, *state = step(np.array([token], np.int32), *state)
        row = np.asarray(log_probabilities)[0]
        assert found.log_probabilities[i] == row[following]
        assert found.guesses[i].tolist() == np.argsort(-row, kind="stable")[:5].tolist()
        assert found.guess_log_probabilities[i].tolist() == np.sort(row)[::-1][:5].tolist()
        if i:
            assert all((part[i - 1] == np.asarray(now)[0]).all() for part, now in zip(found.states, state))
        token = following
    assert [part.shape for part in found.states] == [(len(IDS), 5)] * 2
    assert state_names(model.model.layers) == ["layer0.h", "layer0.c"]


def test_the_state_is_reset_after_the_reset_id():
    found, plain = inspection(reset_id=IDS[3]), inspection()
    assert found.log_probabilities[4] == found.log_probabilities[0] != plain.log_probabilities[4]
    assert (found.log_probabilities[:4] == plain.log_probabilities[:4]).all()
    assert all((part[4] == part[0]).all() for part in found.states)


def test_every_token_is_reported_and_a_small_vocabulary_has_fewer_guesses():
    reported = []
    found = inspection(num_guesses=99, on_token=reported.append)
    assert found.guesses.shape == (6, opened()[0].model.config.vocab_size)
    assert reported == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="at least one id"):
        inspect_tokens(None, [], [], start_id=0)


def pieces(*tokens, end="</s>"):
    return [Piece(f" {token}" if token != end else "", token, 1 if token == end else 5) for token in tokens]


def test_quotes_that_nltk_writes_in_three_ways():
    tokens = pieces("``", "Oh", "''", "said", "--", "''", "No", "\u201d", "\u201c", "Yes")
    assert inside_quotes(tokens).tolist() == [1, 1, 0, 0, 0, 1, 1, 0, 1, 1]


def test_positions_and_capitals():
    text = pieces("Oh", "no", "</s>", "Emma", "was", "</s>")
    assert positions(text, 1).tolist() == [0, 1, 2, 0, 1, 2]
    assert starts_with_capital(text).tolist() == [1, 0, 0, 1, 0, 0]
    assert starts_with_capital([Piece("É", "É", 5), Piece("é", "é", 5), Piece("5", "5", 5)]).tolist() == [1, 0, 0]


def test_correlations_are_those_of_numpy():
    rng = np.random.default_rng(0)
    units, feature = rng.normal(size=(50, 4)), rng.normal(size=50)
    units[:, 2] = 3.0
    expected = [np.corrcoef(units[:, i], feature)[0, 1] if i != 2 else 0.0 for i in range(4)]
    assert correlations(units, feature) == pytest.approx(expected)
    assert correlations(units, np.ones(50)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        'She said, "Mr. Knightley can\'t  come."  He did.',
        "Zorblax \u201cquoted\u201d \U0001f600 naïve -- İstanbul... gonna",
        "<b>&amp;</b> " + "x" * 5000 + " end.",
        "'' `` \" '",
        "A line\nand another.\n\n  New.",
    ],
)
def test_parts_joined_are_the_text(text, lowercase):
    vocabulary = Vocabulary.from_sentences([["She"]], text=TextConfig(lowercase=lowercase))
    found = list(pieces_of_sentences([text], vocabulary))
    assert "".join(piece.text for piece in found) == text
    assert all(piece.id == vocabulary.token_to_id(piece.token) for piece in found if piece.text)


def test_a_token_that_is_not_there_has_no_text():
    assert split_by_tokens("a b c", ["a", "nowhere", "c"]) == ["a", "", " b c"]
    assert split_by_tokens("", []) == []


@pytest.mark.parametrize("quote", ['"', "''", "``"])
def test_quotation_marks_are_found_however_they_are_written(quote):
    """NLTK writes two of them as the same token. If one were skipped, later words would be searched for too late."""
    sentence = f"He said, {quote}Go'' She said {quote}No''."
    tokens = word_tokenizer(TextConfig())(sentence)
    found = split_by_tokens(sentence, tokens)
    assert "".join(found) == sentence and all(found)
    assert [part for part, token in zip(found, tokens) if token == "``"] == [f" {quote}", f" {quote}"]
    assert [part.strip() for part, token in zip(found, tokens) if token == "Go"] == ["Go"]


def test_sentences_are_followed_by_their_end():
    vocabulary = Vocabulary.from_sentences([line.split() for line in sentences(8)])
    found = list(pieces_of_sentences(["Emma saw.", "Jane"], vocabulary, end_id=vocabulary.eos_id))
    assert [piece.text for piece in found] == ["Emma", " saw", ".", "", "Jane", ""]
