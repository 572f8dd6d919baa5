"""Scoring and continuing texts as plain values: the numbers equal the model's, the texts equal the typed ones."""

import math

import numpy as np
import pytest
from play_models import completed, opened, scored

from theano_rnn.serving.playing import LIMITS, warm_up
from theano_rnn.settings.base import UserError
from theano_rnn.view.inspection import inspect_tokens

TEXT = '  She was happy. "Oh!"  Emma was not\nhappy, Zorblax. '


def test_a_text_is_scored_token_by_token():
    model, _, served = opened()
    answer = scored(TEXT)
    pieces = answer["pieces"]
    assert "".join(piece["text"] for piece in pieces) + answer["rest"] == TEXT
    assert [piece["token"] for piece in pieces][4:9] == ["</s>", "``", "Oh", "!", "''"]
    alone = inspect_tokens(model.function("step"), model.model.initial_state(1), served.tokenize(TEXT).ids,
                       start_id=model.start_id)  # fmt: skip
    found = [piece["log_probability"] for piece in pieces]
    np.testing.assert_allclose(found, alone.log_probabilities, atol=1e-5)
    assert answer["total"] == pytest.approx(sum(found), abs=1e-4)
    assert answer["perplexity"] == pytest.approx(math.exp(-answer["total"] / len(pieces)), rel=1e-4)
    assert answer["unknown"] == 1
    assert [piece["token"] for piece in pieces if piece["is_unknown"]] == ["Zorblax"]
    for piece, ids in zip(pieces, alone.guesses):
        assert [token for token, _ in piece["guesses"]] == model.vocabulary.decode(ids)
        assert sorted((p for _, p in piece["guesses"]), reverse=True) == [p for _, p in piece["guesses"]]


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_a_text_without_tokens_has_candidates(text):
    answer = scored(text)
    assert (answer["pieces"], answer["rest"], answer["total"], answer["perplexity"]) == ([], text, 0.0, None)
    assert len(answer["candidates"]) == 8


def test_a_candidate_is_as_likely_as_it_is_once_it_is_there():
    candidates = scored("She was", num_candidates=50)["candidates"]
    assert sum(candidate["probability"] for candidate in candidates) == pytest.approx(1, abs=1e-4)
    assert "<unk>" not in [candidate["token"] for candidate in candidates]
    unknown = math.exp(scored("She was zorblax")["pieces"][-1]["log_probability"])
    for candidate in candidates:
        if candidate["token"] in ("not", "happy", "!"):
            there = scored("She was" + candidate["text"])["pieces"][-1]
            assert there["token"] == candidate["token"]
            expected = math.exp(there["log_probability"]) / (1 - unknown)
            assert candidate["probability"] == pytest.approx(expected, abs=1e-5)


def test_the_end_of_a_sentence_is_a_blank_if_a_blank_ends_it():
    def end(text, **options):
        found = [c["text"] for c in scored(text, num_candidates=50, **options)["candidates"] if c["token"] == "</s>"]
        assert len(found) == 1
        return found[0]

    assert [end(text) for text in ("She was happy.", "She was happy", "", "Mr.", "Oh! ")] == [" ", "", "", "", ""]
    assert end("She was", sentences="line") == "\n"
    assert scored("She was happy. ")["pieces"][-1]["token"] == "</s>"


def test_samples_are_those_of_the_model_with_the_same_seed():
    model, _, _ = opened()
    for config in ({}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.6}, {"temperature": 0.0}):
        for prompt in ("She was", "She was happy.", "Oh! "):
            texts = model.generate(prompt, num_samples=5, seed=8, max_tokens=9, **config)
            assert [prompt + text for text in completed(prompt, 5, seed=8, config=config)] == texts
    texts = model.generate("She was", num_samples=5, seed=8, length=30)
    assert ["She was" + text for text in completed("She was", 5, seed=8, length=30)] == texts
    assert len(set(completed("She was", 8, config={"temperature": 1e-9}))) == 1


def test_after_a_whole_sentence_a_text_goes_on():
    texts = completed("She was happy.", 8, max_tokens=20)
    assert all(texts)
    assert all(text.strip() == text for text in completed("She was happy. ", 8, max_tokens=20))


def test_a_model_of_single_sentences_is_reset_after_each():
    alone = scored("Oh!", batching="sentences")["pieces"]
    assert scored("She was happy. Oh!", batching="sentences")["pieces"][-2:] == [{**alone[0], "text": " Oh"}, alone[1]]
    assert scored("She was happy. Oh!")["pieces"][-1] != scored("Oh!")["pieces"][-1]
    assert completed("Emma was. ", batching="sentences") == completed("", batching="sentences")


def test_characters_are_read_and_written_one_by_one():
    answer = scored("a <b>\n😀", unit="char")
    assert [piece["text"] for piece in answer["pieces"]] == list("a <b>\n😀")
    assert answer["unknown"] == 1 and answer["rest"] == ""
    assert all(c["text"] == c["token"] and len(c["text"]) == 1 for c in answer["candidates"])
    assert {len(text) for text in completed("a ", 4, max_tokens=30, unit="char")} == {30}


def test_a_text_of_too_many_tokens_is_refused():
    _, _, served = opened()
    assert len(served.tokenize("a " * LIMITS["tokens"]).pieces) == LIMITS["tokens"]
    with pytest.raises(UserError, match=r"at most 2,000 tokens, got 2,001"):
        served.tokenize("a " * (LIMITS["tokens"] + 1))


def test_the_description_of_a_model_is_correct():
    model, _, served = opened()
    about = served.about()
    assert (about["unit"], about["cell"], about["vocab_size"]) == ("word", "lstm", len(model.vocabulary))
    assert about["parameters"] == sum(value.size for value in model.checkpoint.best.values())


def test_a_model_whose_outputs_are_not_finite_is_refused():
    def broken(tokens, state):
        return [np.full((len(tokens), 3), np.nan), state]

    with pytest.raises(UserError, match="not finite numbers"):
        warm_up(broken, lambda batch_size: [np.zeros((batch_size, 2))], 3)
