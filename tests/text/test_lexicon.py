"""Lexicons in the format of CMUdict: what is read, how words are found, and errors that name the line."""

import gzip

import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.text.lexicon import Lexicon, read_lexicon

CMU = """\
;;; # comment
!EXCLAMATION-POINT  EH2 K S K L AH0 M EY1 SH AH0 N P OY2 N T
A  AH0
A(2)  EY1
'BOUT  B AW1 T
d'artagnan D AH0 R T AE1 NG Y AH0 N # foreign french
Resume\tR IH0 Z UW1 M
resume R EH1 Z AH0 M EY2

"""


def test_the_format_of_cmudict():
    lexicon = Lexicon.from_lines(CMU.splitlines())
    assert lexicon.pronunciations["A"] == ["AH", "EY"]
    assert lexicon.pronunciations["d'artagnan"] == ["D AH R T AE NG Y AH N"]
    assert lexicon.pronunciations["!EXCLAMATION-POINT"][0].startswith("EH K S")
    assert len(lexicon) == 6


def test_stress_is_kept_on_request_and_only_stress_is_removed():
    assert Lexicon.from_lines(["A AH0 1 X9"], keep_stress=True).pronunciations == {"A": ["AH0 1 X9"]}
    assert Lexicon.from_lines(["A AH0 1 X9"]).pronunciations == {"A": ["AH 1 X9"]}


def test_pronunciations_that_differ_in_stress_only_are_one():
    assert Lexicon.from_lines(["A AH0", "A(2) AH1", "A EY1"]).pronunciations == {"A": ["AH", "EY"]}


def test_words_are_found_in_any_case_and_with_punctuation():
    lexicon = Lexicon.from_lines(CMU.splitlines())
    assert lexicon.find("a") == "A" and lexicon.find("A,") == "A" and lexicon.find("D'ARTAGNAN") == "d'artagnan"
    assert lexicon.find("Resume") == "Resume" and lexicon.find("resume") == "resume"  # its own spelling comes first
    assert lexicon.find("RESUME") == "Resume"
    assert lexicon.find("'bout") == "'BOUT" and lexicon.find("b") is None and lexicon.find(".") is None
    assert "a" in lexicon and "b" not in lexicon


def test_a_lexicon_file_may_be_compressed_and_errors_name_the_line(tmp_path):
    path = tmp_path / "words.dict.gz"
    path.write_bytes(gzip.compress(CMU.encode()))
    assert read_lexicon(str(path)).pronunciations == Lexicon.from_lines(CMU.splitlines()).pronunciations
    bad = tmp_path / "words.txt"
    bad.write_text("A AH\nB\n")
    with pytest.raises(UserError, match=r"words\.txt line 2: 'B' has no phonemes"):
        read_lexicon(str(bad))
    bad.write_text(";;; nothing\n")
    with pytest.raises(UserError, match=r"words\.txt contains no pronunciations"):
        read_lexicon(str(bad))
    with pytest.raises(FileNotFoundError, match="cannot find"):
        read_lexicon(str(tmp_path / "none.dict"))


def test_a_part_of_a_lexicon():
    lexicon = Lexicon.from_lines(["A AH", "B B IY", "A EY"])
    assert lexicon.restricted({"A", "C"}).pronunciations == {"A": ["AH", "EY"]}
