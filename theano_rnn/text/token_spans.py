"""Align tokens with the text that they come from: find the part of the text that belongs to each token.

>>> from theano_rnn.settings.text import TextConfig
>>> sentence = '"You can\\'t,"  said Emma.'
>>> split_by_tokens(sentence, word_tokenizer(TextConfig())(sentence))
['"', 'You', ' ca', "n't", ',', '"', '  said', ' Emma', '.']
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from theano_rnn.text.normalizing import normalize
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import sentence_splitter, word_tokenizer

QUOTES = ("``", "''")  # NLTK's tokens for opening and closing quotation marks, which the text writes as " or ''
MAX_SKIPPED_CHARACTERS = 100  # in the search for the next token


class Piece(NamedTuple):
    """A token, its part of the text, and its id in the vocabulary.

    `text` includes the white space before the token. It is empty if nothing in the text stands for the token, as for
    the end of a sentence. `token` is as the tokenizer made it.
    """

    text: str
    token: str
    id: int


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
    for form in (token, '"', "''") if token in QUOTES else (token,):
        position = text.find(form, start, start + MAX_SKIPPED_CHARACTERS + len(form))
        if position >= 0:
            matches.append((position, position + len(form)))
    return min(matches)[1] if matches else None


def pieces_of_text(text: str, vocabulary: Vocabulary, end_id: int) -> list[Piece]:
    """Returns the tokens of a short text, with a piece of id `end_id` after each sentence except the last.

    >>> vocabulary = Vocabulary.from_sentences([["Oh", ",", "no", "."]])
    >>> [piece.text for piece in pieces_of_text(" Oh, dear.  No.", vocabulary, vocabulary.eos_id)]
    [' Oh', ',', ' dear', '.', '', '  No', '.']
    """
    text = normalize(text, vocabulary.text)
    if vocabulary.text.unit == "char":
        return list(pieces_of_sentences([text], vocabulary))
    text = text.replace("\n", " ")
    sentences, start = [], 0
    for sentence in sentence_splitter(vocabulary.text)(text):
        end = text.find(sentence, start) + len(sentence)
        sentences.append(text[start:end])
        start = end
    return list(pieces_of_sentences(sentences, vocabulary, end_id=end_id))[:-1]


def pieces_of_sentences(
    sentences: Iterable[str], vocabulary: Vocabulary, *, end_id: int | None = None
) -> Iterator[Piece]:
    """Yields the tokens of each sentence, and after it a piece of id `end_id`, if one is given."""
    tokenize = word_tokenizer(vocabulary.text)
    for sentence in sentences:
        tokens = tokenize(sentence)
        for text, token in zip(split_by_tokens(sentence, tokens), tokens):
            yield Piece(text, token, vocabulary.token_to_id(token))
        if end_id is not None:
            yield Piece("", vocabulary.id_to_token(end_id), end_id)
