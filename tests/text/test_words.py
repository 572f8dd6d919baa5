"""Sentences and tokens, compared with those of NLTK itself."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text import nltk_words
from theano_rnn.text.words import abbreviations, detokenize, sentence_splitter, tokenization_fingerprint, word_tokenizer

NOVEL = Path(__file__).parents[2] / "data" / "austen" / "northanger_abbey.txt"
PIECES = [
    "a",
    "can",
    "not",
    "cannot",
    "'",
    "''",
    '"',
    "``",
    "`",
    ".",
    "..",
    "...",
    ",",
    ":",
    "1",
    "tis",
    "'t",
    "is",
    "was",
    "gonna",
    "wanna",
    "wanna,",
    "gimme",
    "d'ye",
    "'s",
    "'ll",
    "n't",
    "N'T",
    "'S",
    "--",
    "(",
    ")",
    "<",
    "[",
    "“",
    "’",
    "‘",
    "»",
    "?",
    "!",
    "*",
    "—",
    "‒",
    "%",
    "&",
    "$",
    ";",
    "@",
    "#",
    "more'n",
    "_",
    "Mr.",
    "\x1c",
    "\u2028",
    "é",
    "́",
] + [" ", "  ", "\t", "\xa0", "\n"]


@pytest.fixture(scope="module")
def novel_sentences():
    split = sentence_splitter(TextConfig())
    text = NOVEL.read_text(encoding="utf-8")[:150_000]
    return [sentence for paragraph in text.split("\n\n") for sentence in split(paragraph)]


@pytest.fixture
def rules_tried_always(monkeypatch):
    monkeypatch.setattr(nltk_words, "RULE_TRIGGERS", {})
    nltk_words.fast_nltk_tokenizer.cache_clear()
    yield
    nltk_words.fast_nltk_tokenizer.cache_clear()


def random_text(seed):
    rng = random.Random(seed)
    return "".join(rng.choices(PIECES, k=rng.randint(0, 14)))


def nltk_tokens(sentence):
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer().tokenize(sentence)


def test_words_of_a_novel_are_those_of_nltk(novel_sentences):
    tokenize = word_tokenizer(TextConfig(rules=1))
    assert len(novel_sentences) > 1000
    assert [tokenize(sentence) for sentence in novel_sentences[:500]] == list(map(nltk_tokens, novel_sentences[:500]))


def test_words_of_any_text_are_those_of_nltk():
    tokenize = word_tokenizer(TextConfig(rules=1))
    for sentence in map(random_text, range(3000)):
        assert tokenize(sentence) == nltk_tokens(sentence), repr(sentence)


@pytest.mark.usefixtures("rules_tried_always")
def test_a_rule_that_is_not_known_is_always_tried():
    tokenize = word_tokenizer(TextConfig(rules=1))
    for sentence in map(random_text, range(300)):
        assert tokenize(sentence) == nltk_tokens(sentence), repr(sentence)


def test_rules_without_a_clock_are_taken_as_they_are():
    assert nltk_words.substitution_without_timeout(re.compile("a"))("b", "aha") == "bhb"


def test_a_novel_comes_back_as_it_was_written(novel_sentences):
    tokenize = word_tokenizer(TextConfig())
    same = [
        " ".join(sentence.split()) == " ".join(detokenize(tokenize(sentence), TextConfig()).split())
        for sentence in novel_sentences
    ]
    assert sum(same) / len(same) > 0.98


def test_abbreviations_do_not_end_a_sentence_but_ambiguous_words_do():
    known = abbreviations()
    assert {"mr", "etc", "u.s"} <= set(known)
    assert not {"no", "sat", "mon", "fig", "co", "ed", "al"} & set(known)
    text = "Mr. Smith went to Washington D.C. yesterday. He paid $3.50! Did he? No. He sat. Then he left."
    assert sentence_splitter(TextConfig())(text) == [
        "Mr. Smith went to Washington D.C. yesterday.", "He paid $3.50!", "Did he?", "No.", "He sat.", "Then he left.",
    ]  # fmt: skip


def test_long_words_around_a_full_stop_are_decided_the_same_way():
    word = "x" * 80
    assert sentence_splitter(TextConfig())(f"{word}. {word.title()}. A.") == [f"{word}.", f"{word.title()}.", "A."]


def test_a_line_break_inside_a_paragraph_is_a_blank():
    assert sentence_splitter(TextConfig())("\none\ntwo. Three\n") == ["one two.", "Three"]


def test_lines_are_sentences_and_blank_ones_are_none():
    assert sentence_splitter(TextConfig(sentences="line"))(" Mr. A. B? C\n \n\nd\n") == ["Mr. A. B? C", "d"]


def test_lines_of_characters_stay_as_they_are():
    assert sentence_splitter(TextConfig(unit="char"))(" Mr. A. B? C\n \n\nd") == [" Mr. A. B? C", " ", "", "d"]


def test_lower_case_comes_after_the_sentences():
    config = TextConfig(lowercase=True)
    assert [word_tokenizer(config)(sentence) for sentence in sentence_splitter(config)("I AM. You Are.")] == [
        ["i", "am", "."],
        ["you", "are", "."],
    ]


def test_lower_case_characters_do_not_depend_on_their_neighbours():
    assert word_tokenizer(TextConfig("char", lowercase=True))("ΑΣ İ") == ["α", "σ", " ", "i", "\u0307"]


def test_blanks_separate_tokens_of_tokenized_text():
    config = TextConfig(tokens="whitespace")
    assert word_tokenizer(config)(" don't <unk>  N. ") == ["don't", "<unk>", "N."]
    assert detokenize(["don't", "<unk>"], config) == "don't <unk>"


def test_characters_are_tokens():
    config = TextConfig(unit="char")
    assert word_tokenizer(config)("a b\n") == ["a", " ", "b", "\n"]
    assert detokenize(["a", " ", "b", "\n"], config) == "a b\n"


@pytest.fixture
def own_resource(tmp_path, monkeypatch):
    """Creates an NLTK data folder; its punkt_tab resource, whose folder is returned, has one abbreviation."""
    import nltk.data

    folder = tmp_path / "tokenizers" / "punkt_tab" / "english"
    folder.mkdir(parents=True)
    for name, content in [("abbrev_types.txt", "zyx\n"), ("collocations.tab", ""), ("sent_starters.txt", "")]:
        (folder / name).write_text(content)
    (folder / "ortho_context.tab").write_text("he\t4\n")
    for part in [tmp_path, *tmp_path.rglob("*")]:
        part.chmod(0o700 if part.is_dir() else 0o600)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    return folder


def test_an_own_punkt_tab_resource_decides(own_resource):
    config = TextConfig(sentences="punkt_tab")
    assert sentence_splitter(config)("A zyx. He. Mr. He.") == ["A zyx. He.", "Mr.", "He."]
    before = tokenization_fingerprint(config)
    (own_resource / "abbrev_types.txt").write_text("mr\n")
    assert sentence_splitter(config)("A zyx. He. Mr. He.") == ["A zyx.", "He.", "Mr. He."]
    assert tokenization_fingerprint(config) != before


def test_a_missing_punkt_tab_resource_is_an_error_with_a_recipe(tmp_path, monkeypatch):
    import nltk.data

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    with pytest.raises(UserError, match="sentences=punkt_tab cannot be used .*nltk.downloader") as caught:
        sentence_splitter(TextConfig(sentences="punkt_tab"))
    assert "\n" not in str(caught.value)


def test_a_resource_that_others_may_write_is_an_error_with_a_recipe(own_resource):
    own_resource.chmod(0o777)
    with pytest.raises(UserError, match="sentences=punkt_tab cannot be used .*chmod -R go-w"):
        sentence_splitter(TextConfig(sentences="punkt_tab"))


def test_an_incomplete_resource_is_an_error_with_a_recipe(own_resource):
    (own_resource / "collocations.tab").unlink()
    with pytest.raises(UserError, match="sentences=punkt_tab cannot be used"):
        sentence_splitter(TextConfig(sentences="punkt_tab"))


def test_signatures_differ_where_sentences_may():
    configs = [TextConfig(), TextConfig(sentences="line"), TextConfig(unit="char")]
    assert len({tokenization_fingerprint(config) for config in configs}) == 3


def test_importing_has_no_effects_and_brings_no_heavy_modules():
    code = (
        "import sys, theano_rnn.text.words, theano_rnn.preprocessing\n"
        "assert not {'nltk', 'scipy', 'aesara', 'jax'} & set(sys.modules), sorted(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=NOVEL.parents[2], check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
