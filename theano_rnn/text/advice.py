"""Notice that a text does not suit the settings, and say which ones suit it better.

>>> has_no_blanks("我爱北京天安门。天安门上太阳升。"), looks_tokenized("the <unk> said , no .")
(True, True)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text.corpus_cache import BLOCK_IDS
from theano_rnn.text.sources import Source
from theano_rnn.text.tables import DEFAULT_COLUMN
from theano_rnn.text.tokenizing import NUM_ENDS, TokenizedFile

SAMPLE_CHARACTERS = 50_000  # of each file, to look at
LONG_SENTENCE = 200  # tokens
MIN_TOKENS_TO_SPLIT = 20  # a text with fewer tokens is too short, whatever its sentences are
WITHOUT_BLANKS = re.compile(  # letters of scripts that write no blanks between words: Thai, Chinese, Japanese, ...
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
TOKENIZED_MARK = re.compile(r"(?<!\S)(?:<unk>|@[-,.]@)(?!\S)")
GUTENBERG = re.compile(r"\*\*\* ?START OF TH(E|IS) PROJECT GUTENBERG")
TOKENIZED_HEADING = re.compile(r"^ ?= (?:= )*\S.* =(?: =)* ?$", re.MULTILINE)


class Advice:
    """Advice on the files of a corpus; look at each file, then read `notes` or `remedy`."""

    def __init__(self, text: TextConfig) -> None:
        self.text = text
        self.num_tokens = self.num_sentences = 0
        self.has_short_lines = False  # are there clearly more lines than sentences?
        self.formats: list[str] = []  # notes on tables and other formats
        self.tokenized: list[str] = []  # names of files that look tokenized
        self.unspaced: list[str] = []  # ... that have no blanks between words
        self.long: list[tuple[str, float]] = []  # ... with long sentences, and the mean number of tokens

    def look_at(self, source: Source, tokenized: TokenizedFile) -> None:
        """Look for properties of a file that do not suit the settings."""
        sample = beginning(source, self.text)
        self.formats.extend(guessed_column(source))
        self.note_format(source, sample)
        if self.text.unit == "char":
            return
        ids = tokenized.ids
        blocks = range(0, ids.size, BLOCK_IDS)
        num_sentences = sum(np.count_nonzero(ids[i : i + BLOCK_IDS] < NUM_ENDS) for i in blocks)
        num_tokens = ids.size - num_sentences
        self.num_tokens += num_tokens
        self.num_sentences += num_sentences
        mean = num_tokens / max(num_sentences, 1)
        num_lines = sum(bool(line.strip()) for line in sample.split("\n"))
        self.has_short_lines |= num_lines * mean > 1.5 * len(sample.split())
        if has_no_blanks(sample):
            self.unspaced.append(source.name)
        elif (self.text.unit, self.text.tokens) == ("word", "nltk") and looks_tokenized(sample):
            self.tokenized.append(source.name)
        elif mean > LONG_SENTENCE:
            self.long.append((source.name, mean))

    def note_format(self, source: Source, sample: str) -> None:
        """Note formats whose marks would be read as words."""
        start = sample[:1000].lstrip().lower()
        if start.startswith(("<!doctype html", "<html", "<?xml")):
            self.formats.append(
                f"{source.name}: this is HTML or XML, whose tags are read as words: extract its text first, for "
                f"example with `pandoc -t plain {source.name}`"
            )
        elif source.format.table is None and re.match(r'\[\s*[{"\[]', start):
            self.formats.append(
                f"{source.name}: this looks like JSON, whose brackets and quotes are read as words: write one object "
                f"per line into a .jsonl file, for example with `jq -c '.[]' {source.name}`"
            )
        if GUTENBERG.search(sample):
            self.formats.append(
                f"{source.name}: the notes and the licence of Project Gutenberg are read as part of the text: delete "
                "everything before *** START OF and after *** END OF"
            )

    def notes(self) -> tuple[str, ...]:
        """Returns at most one line for each kind of advice, and one for each table whose text column was found."""
        notes = self.formats[:]
        if self.unspaced:
            notes.append(f"{listed(self.unspaced)}: the text has no spaces between words, so add --unit char")
        if self.tokenized:
            flags = "--tokens whitespace" + ("" if self.text.sentences == "line" else " --sentences line")
            notes.append(
                f"{listed(self.tokenized)}: the text looks tokenized already, so add {flags} to keep its tokens"
            )
        if self.long:
            name = listed([name for name, _ in self.long])
            notes.append(
                f"{name}: sentences have {self.long[0][1]:,.0f} tokens on average, which is long. {self.remedy()}"
            )
        return tuple(notes)

    def remedy(self) -> str:
        """Returns advice for a text with too few sentences."""
        if self.text.unit == "char":
            return "Give more text."
        if self.unspaced:
            return "The text has no spaces between words, so add --unit char."
        if self.tokenized:
            return "The text looks tokenized already, so add --tokens whitespace --sentences line."
        if self.text.sentences == "line":
            return "Put each sentence on a line of its own, or leave out --sentences line."
        if self.has_short_lines:
            return "If each line is one item, add --sentences line. For characters instead of words, add --unit char."
        return (
            "Break the text into lines, for example with `fold -s -w 200`, and add --sentences line; "
            "or learn characters instead of words with --unit char."
        )

    def check_sizes(self, num_train_tokens: int, *, has_valid: bool, corpus: CorpusConfig) -> None:
        """Raises `UserError` if the training part has fewer than two tokens, or there is no validation part."""
        is_split = not corpus.valid or not corpus.test
        has_tokens = is_split and self.num_tokens >= MIN_TOKENS_TO_SPLIT
        if num_train_tokens < 2 and has_tokens:
            raise UserError(f"the text is {self.size()}, so nothing is left to train on. {self.remedy()}")
        if num_train_tokens < 2:
            raise UserError(
                f"the training part has {num_train_tokens} token{'' if num_train_tokens == 1 else 's'}, too few to "
                "train on: add text, or lower --valid-fraction or --test-fraction"
            )
        if not has_valid and has_tokens and corpus.valid_fraction:
            raise UserError(
                f"the text is {self.size()}, so nothing is left to validate on. {self.remedy()} "
                "Or raise --valid-fraction, or name a file with --valid."
            )
        if not has_valid:
            raise UserError(
                f"the validation part is empty (valid_fraction {corpus.valid_fraction:g}): "
                "add text, raise --valid-fraction, or name a file with --valid"
            )

    def size(self) -> str:
        """Returns the size of the files in words."""
        tokens = f"{self.num_tokens:,} token{'' if self.num_tokens == 1 else 's'}"
        if self.num_sentences == 1:
            return f"a single sentence of {tokens}"
        return f"{self.num_sentences:,} sentences of {tokens} in total"


def guessed_column(source: Source) -> list[str]:
    """Returns a line about the column of a table that was guessed, if it was; the table must have been read."""
    if source.format.table is None or source.column is not None or source.text_column == DEFAULT_COLUMN:
        return []
    column = str(source.text_column)
    hint = ": is there no header? Its first row is read as names" if len(column) > 60 else ""
    return [f"reading column {column[:60]}{'...' if hint else ''} of {source.name}{hint}"]


def beginning(source: Source, text: TextConfig) -> str:
    """Returns the beginning of the text."""
    parts: list[str] = []
    size = 0
    for block in source.blocks(text):
        parts.append(block[:SAMPLE_CHARACTERS])
        size += len(block)
        if size >= SAMPLE_CHARACTERS:
            break
    return "".join(parts)[:SAMPLE_CHARACTERS]


def has_no_blanks(sample: str) -> bool:
    """Returns whether a text is written without blanks between words."""
    if sample.isascii():
        return False
    num_letters = sum(map(str.isalpha, sample))
    num_without = len(WITHOUT_BLANKS.findall(sample))
    num_blanks = sample.count(" ") + sample.count("\u3000")
    return num_without > 0.3 * num_letters and num_blanks < 0.15 * num_without


def looks_tokenized(sample: str) -> bool:
    """Returns whether blanks separate the tokens of a text already, punctuation too.

    Marks of known corpora tell: `<unk>`, ` @-@ `, headings like ` = Title = `; or blanks before nearly all commas.
    """
    commas = sample.count(",")
    has_blanks = sample.count(" , ") + sample.count(" ,\n") >= 0.9 * commas
    if TOKENIZED_MARK.search(sample):
        return has_blanks
    return has_blanks and (commas >= 20 or (commas > 0 and TOKENIZED_HEADING.search(sample) is not None))


def listed(names: Sequence[str]) -> str:
    """Returns the first of several names, and how many more there are."""
    more = len(names) - 1
    return names[0] + (f" and {more} more file{'s' if more > 1 else ''}" if more else "")
