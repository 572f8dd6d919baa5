"""Align tokens with the text that they come from: find the part of the text that belongs to each token.

>>> from theano_rnn.settings.text import TextConfig
>>> sentence = '"You can\\'t,"  said Emma.'
>>> split_by_tokens(sentence, word_tokenizer(TextConfig())(sentence))
['"', 'You', ' ca', "n't", ',', '"', '  said', ' Emma', '.']
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from theano_rnn.text.spacing import without_marks
from theano_rnn.text.subword_text import split_by_pieces
from theano_rnn.text.typography import QUOTES
from theano_rnn.text.vocabulary import EOS, Vocabulary
from theano_rnn.text.words import word_tokenizer

MAX_SKIPPED_CHARACTERS = 100  # in the search for the next token


class Piece(NamedTuple):
    """A token, its part of the text, and its id in the vocabulary.

    `text` includes the white space before the token. It is empty if nothing in the text stands for the token, as for
    the end of a sentence, or a byte that continues a character. `token` is as the model reads it.
    """

    text: str
    token: str
    id: int

    @property
    def is_end(self) -> bool:
        """Whether this is the end of a sentence, not a token of the text."""
        return not self.text and self.token == EOS


def split_by_tokens(sentence: str, tokens: Sequence[str]) -> list[str]:
    """Returns the part of `sentence` for each token, white space before it included; joined, they are the sentence.

    A token that the sentence does not contain, as when it was lower-cased to more characters, gets an empty part. Text
    after the last token belongs to that token.
    """
    lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in sentence)  # of the same length
    parts: list[str] = []
    start = 0
    for token in tokens:
        ends = [token_end(token, text, start) for text in (sentence, lowered)]
        end = next((end for end in ends if end is not None), start)
        parts.append(sentence[start:end])
        start = end
    if parts:
        parts[-1] += sentence[start:]
    return parts


def token_end(token: str, text: str, start: int) -> int | None:
    """Returns where `token` ends in `text`, searching from `start`; None if it is not found nearby."""
    matches = []
    core = without_marks(token)
    for form in (token, core, '"', "''") if core in QUOTES else (token, core):
        position = text.find(form, start, start + MAX_SKIPPED_CHARACTERS + len(form))
        if position >= 0:
            matches.append((position, position + len(form)))
    return min(matches)[1] if matches else None


def pieces_of_tokens(sentence: str, tokens: Sequence[str], vocabulary: Vocabulary) -> Iterator[Piece]:
    """Yields the tokens of a sentence as the model reads them: those of `word_tokenizer`, or the pieces of each."""
    read = tokens
    if vocabulary.tokenizer is not None:
        words = [vocabulary.pieces(token) for token in tokens]
        read, texts = [piece for word in words for piece in word], split_by_pieces(sentence, words)
    else:
        texts = split_by_tokens(sentence, tokens)
    for text, token in zip(texts, read):
        yield Piece(text, token, vocabulary.token_to_id(token))


def pieces_of_sentences(
    sentences: Iterable[str], vocabulary: Vocabulary, *, end_id: int | None = None
) -> Iterator[Piece]:
    """Yields the tokens of each sentence, and after it a piece of id `end_id`, if one is given."""
    tokenize = word_tokenizer(vocabulary.text)
    for sentence in sentences:
        yield from pieces_of_tokens(sentence, tokenize(sentence), vocabulary)
        if end_id is not None:
            yield Piece("", vocabulary.id_to_token(end_id), end_id)
