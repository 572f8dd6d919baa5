"""From a recognizer's outputs to words: the search that suits its labels, and the alignment of words with the sound.

A recognizer of phonemes finds the words of its lexicon. One of letters writes any words, divided by its label " ". Both
use an n-gram model of words, by default the one of the training transcripts, which the checkpoint has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.ctc_decoding import Segment
from theano_rnn.generation.forced_alignment import Alignment, align_labels, align_words
from theano_rnn.generation.pronunciation_tree import PronunciationTree
from theano_rnn.generation.word_loop import SearchLimits, WordSearch
from theano_rnn.generation.word_scores import NGramWords, SpelledWords, WordScorer
from theano_rnn.settings.base import UserError
from theano_rnn.settings.word_search import WordSearchConfig
from theano_rnn.text.lexicon import Lexicon
from theano_rnn.text.ngrams import NGramModel, parse_arpa

SEPARATOR = " "  # the label between words of letters
NGRAM_FACT = "transcripts_ngram"


class DecodedWords(NamedTuple):
    """A sequence of words; ln P(words | sound) in nats, and the score that ranks it."""

    words: tuple[str, ...]
    log_probability: float
    score: float


class PlacedWord(NamedTuple):
    """A word and the segments of its labels, whose numbers are frames of the network."""

    word: str
    segments: list[Segment]


class WordDecoder:
    """Finds words in the outputs of one model.

    Parameters
    ----------
    facts
        The facts of the model's checkpoint.
    lexicon : optional
        Replaces the lexicon of the checkpoint.
    ngram : optional
        Replaces the n-gram model of the checkpoint.

    Attributes
    ----------
    labels : list of str
        Label k stands for ``labels[k - 1]``.
    words : list of str
        The words of the lexicon that can be recognized; none for letters.
    scorer : WordScorer or None
        The language model. It may be replaced by one of the same words (for letters: of the labels).
    num_lacking : int
        Words of the lexicon that cannot be recognized, because the model does not know one of their phonemes.

    Raises
    ------
    UserError
        The model recognizes letters, but a lexicon is given; or no word of the lexicon can be recognized.
    """

    def __init__(
        self, facts: Mapping[str, Any], *, lexicon: Lexicon | None = None, ngram: NGramModel | None = None
    ) -> None:
        self.labels: list[str] = list(facts["labels"])
        self.numbers = {label: number for number, label in enumerate(self.labels, 1)}
        self.is_lettered = not facts["lexicon"]
        if self.is_lettered and lexicon is not None:
            raise UserError("this model recognizes letters and needs no lexicon: leave out --lexicon")
        if ngram is None and facts.get(NGRAM_FACT):
            ngram = parse_arpa(facts[NGRAM_FACT].splitlines(), "the n-gram model in the checkpoint")
        self.ngram, self.words, self.num_lacking = ngram, list[str](), 0
        self.lexicon = None if self.is_lettered else lexicon or Lexicon(facts["lexicon"])
        self.pronunciations: dict[str, list[list[int]]] = {}
        if self.lexicon is not None:
            for word, spoken in self.lexicon.pronunciations.items():
                known = [[self.numbers[each] for each in sounds] for sounds in map(str.split, spoken)
                         if all(each in self.numbers for each in sounds)]  # fmt: skip
                if known:
                    self.pronunciations[word] = known
            self.words = list(self.pronunciations)
            self.num_lacking = len(self.lexicon.pronunciations) - len(self.words)
            if not self.words:
                raise UserError("no word of the lexicon can be recognized: the model does not know its phonemes; its "
                                f"own are {' '.join(self.labels[:50])}")  # fmt: skip
        forms = [(number, sounds) for number, word in enumerate(self.words) for sounds in self.pronunciations[word]]
        if self.is_lettered:
            forms = [(number - 1, [number]) for number in self.numbers.values()]  # each label is a word of the search
        self.tree = PronunciationTree(forms, len(self.words) or len(self.labels))
        self.scorer: WordScorer | None = None
        if ngram is not None and self.is_lettered:
            if SEPARATOR in self.labels:
                self.scorer = SpelledWords(ngram, self.labels, self.labels.index(SEPARATOR))
        elif ngram is not None:
            self.scorer = NGramWords(ngram, self.words)

    def search(self, log_probabilities: Any, config: WordSearchConfig) -> list[DecodedWords]:
        """Returns the best sequences of words of an utterance, the best first: at least one, which may be empty.

        `log_probabilities` are float (frames, labels + 1).
        """
        return self.decoded(self.new_search(config).push(log_probabilities), config)

    def new_search(self, config: WordSearchConfig) -> WordSearch:
        """Returns a search that has not heard anything yet. `decoded` returns what it has found."""
        bonus = config.word_bonus * (np.array(self.labels) == SEPARATOR) if self.is_lettered else config.word_bonus
        return WordSearch(self.tree, scorer=self.scorer if config.lm_weight else None, weight=config.lm_weight,
                          bonus=bonus, limits=SearchLimits(config.beam_size))  # fmt: skip

    def decoded(self, search: WordSearch, config: WordSearchConfig) -> list[DecodedWords]:
        """Returns the best sequences of words of a search so far, the best first."""
        found = search.best(config.nbest)
        if not self.is_lettered:
            return [DecodedWords(tuple(self.words[i] for i in each.words), *each[1:]) for each in found]
        texts: dict[tuple[str, ...], DecodedWords] = {}
        for each in found:
            words = tuple("".join(self.labels[i] for i in each.words).split())
            texts.setdefault(words, DecodedWords(words, *each[1:]))  # several blanks between words: the best counts
        return list(texts.values())

    def align(self, log_probabilities: Any, words: Sequence[str]) -> tuple[list[PlacedWord], Alignment]:
        """Returns where the labels of given words are recognized, in their likeliest pronunciations.

        Raises
        ------
        UserError
            A word is not in the lexicon, has a letter that the model does not know, or the words do not fit.
        """
        if not self.is_lettered:
            spellings = [self.spelling(word) for word in words]
            alignment = align_words(log_probabilities, [self.pronunciations[word] for word in spellings])
            segments = [word.segments for word in alignment.words]
            return list(map(PlacedWord, spellings, segments)), alignment
        text = SEPARATOR.join(words)
        if unknown := sorted(set(text) - self.numbers.keys()):
            raise UserError(f"the model does not know {', '.join(map(repr, unknown[:5]))}: spell the words with the "
                            f"letters of its training recordings, {''.join(self.labels)!r}")  # fmt: skip
        alignment = align_labels(log_probabilities, [self.numbers[letter] for letter in text])
        placed, start = [], 0
        for word in words:
            placed.append(PlacedWord(word, alignment.segments[start : start + len(word)]))
            start += len(word) + 1
        return placed, alignment

    def spelling(self, word: str) -> str:
        """Returns a word as the lexicon spells it.

        Raises
        ------
        UserError
            It is not in the lexicon.
        """
        assert self.lexicon is not None
        found = word if word in self.pronunciations else self.lexicon.find(word)
        if found is None or found not in self.pronunciations:
            raise UserError(f"{word[:60]!r} is not a word of the lexicon: correct it, or give its pronunciation with "
                            "--lexicon")  # fmt: skip
        return found
