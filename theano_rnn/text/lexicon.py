"""Lexicons: the pronunciations of words, in the format of the CMU Pronouncing Dictionary.

>>> lexicon = Lexicon.from_lines([";;; digits", "ZERO  Z IH1 R OW0", "ZERO(2)  Z IY1 R OW0", "one\\tW AH1 N"])
>>> lexicon.pronunciations
{'ZERO': ['Z IH R OW', 'Z IY R OW'], 'one': ['W AH N']}
>>> lexicon.find("Zero"), lexicon.find("ONE"), lexicon.find("two")
('ZERO', 'one', None)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.normalizing import normalized_blocks
from theano_rnn.text.sources import Source
from theano_rnn.text.tables import split_lines

VARIANT = re.compile(r"(?<=.)\(\d+\)$")
STRESS = re.compile(r"(?<=[A-Za-z])[0-2]$")
PUNCTUATION = '.,;:!?"“”„«»()[]…'


class Lexicon:
    """The pronunciations of words.

    Attributes
    ----------
    pronunciations : dict of str to list of str
        For each word its pronunciations, phonemes separated by blanks. The first one is the reference: what a
        recognizer is trained with. Words keep the case of the file; `find` ignores it.
    """

    def __init__(self, pronunciations: Mapping[str, Sequence[str]]) -> None:
        self.pronunciations = {word: list(found) for word, found in pronunciations.items()}
        self.folded: dict[str, str] = {}
        for word in self.pronunciations:
            self.folded.setdefault(word.casefold(), word)

    @classmethod
    def from_lines(cls, lines: Iterable[str], name: str = "the lexicon", *, keep_stress: bool = False) -> Lexicon:
        """Returns the lexicon that the lines describe.

        A line is a word and its phonemes, separated by blanks or tabs. A further pronunciation repeats the word, with
        or without a number, as in WORD(2). What begins with ``;;;`` or, behind a pronunciation, with `` #`` is a
        comment.

        Parameters
        ----------
        name
            The file, for messages.
        keep_stress
            Whether AH0 and AH1 are two phonemes; if not, digits from 0 to 2 at the end of phonemes are removed.

        Raises
        ------
        UserError
            A word has no phonemes.
        """
        found: dict[str, list[str]] = {}
        for number, line in enumerate(lines, start=1):
            if line.lstrip().startswith(";;;"):
                continue
            word, *phonemes = line.split(" #", 1)[0].split() or [""]
            if not word:
                continue
            if not phonemes:
                raise UserError(f"{name} line {number:,}: {word[:40]!r} has no phonemes: write WORD P H O N E M E S, "
                                "or remove the line")  # fmt: skip
            word = VARIANT.sub("", word)
            spoken = " ".join(phonemes if keep_stress else (STRESS.sub("", phoneme) for phoneme in phonemes))
            known = found.setdefault(word, [])
            if spoken not in known:
                known.append(spoken)
        if not found:
            raise UserError(f"{name} contains no pronunciations")
        return cls(found)

    def __contains__(self, word: str) -> bool:
        return self.find(word) is not None

    def __len__(self) -> int:
        return len(self.pronunciations)

    def find(self, word: str) -> str | None:
        """Returns the word as the lexicon spells it, or None.

        The spelling of the text comes first, then any other case, then the word without punctuation around it.
        """
        for spelling in (word, word.strip(PUNCTUATION)):
            if spelling in self.pronunciations:
                return spelling
            if (known := self.folded.get(spelling.casefold())) is not None:
                return known
        return None

    def restricted(self, words: Iterable[str]) -> Lexicon:
        """Returns the lexicon of those of its words that are among `words`, spelled as the lexicon spells them."""
        wanted = set(words)
        return Lexicon({word: found for word, found in self.pronunciations.items() if word in wanted})


def read_lexicon(path: str, *, keep_stress: bool = False) -> Lexicon:
    """Returns the lexicon in a file, which may be compressed.

    Raises
    ------
    OSError
        The file cannot be opened.
    UserError
        It is not a lexicon in UTF-8.
    """
    with Source(path) as source:
        source.file.seek(0)
        blocks = normalized_blocks(source.decoded_blocks(), TextConfig())
        return Lexicon.from_lines(split_lines(blocks), source.name, keep_stress=keep_stress)
