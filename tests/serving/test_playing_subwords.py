"""Serving a model of subwords: pieces of typed words, and candidates that continue them."""

import pytest
from play_models import completed, opened, scored

pytest.importorskip("tokenizers")

TEXT = '  She was not walk 😀.  "Oh"\n\n Zorblax '


def test_the_pieces_of_a_text_are_the_text():
    _, _, served = opened(unit="subword")
    answer = scored(TEXT, unit="subword")
    assert "".join(piece["text"] for piece in answer["pieces"]) + answer["rest"] == TEXT
    assert answer["unknown"] == 0
    assert [piece["token"] for piece in answer["pieces"][:3]] == ["▁She", "▁was", "▁not"]
    assert served.about()["unit"] == "subword"
    assert answer["total"] == pytest.approx(sum(piece["log_probability"] for piece in answer["pieces"]), abs=1e-4)


def test_a_candidate_continues_the_word_or_begins_another():
    def texts_after(text):
        answer = scored(text, num_candidates=1000, unit="subword")
        return {candidate["token"]: candidate["text"] for candidate in answer["candidates"]}

    texts, after_blank = texts_after("She walk"), texts_after("She walk ")
    assert texts["▁was"] == " was"
    assert texts["e"] == "e"
    assert after_blank["▁was"] == "was"
    assert after_blank["e"] == ""
    assert all(text == "" for token, text in texts.items() if token.startswith("<0x") and token >= "<0x80>")


def test_continuations_are_text():
    found = completed("She was walk", unit="subword")
    assert len(set(found)) > 1
    assert completed("She was walk", unit="subword") == found
    assert not any("▁" in text or "<0x" in text for text in found)
