"""Text as somebody types it, not yet complete: what a model reads of it, and what a further token would add to it.

>>> from theano_rnn.preprocessing import TextConfig
>>> vocabulary = Vocabulary.from_sentences([["Oh", ",", "no", ".", "!"]])
>>> pieces, rest = typed_pieces("Oh,\\n no!  Oh. ", vocabulary, vocabulary.eos_id)
>>> [piece.text for piece in pieces], rest
(['Oh', ',', '\\n no', '!', '', '  Oh', '.', ''], ' ')
>>> [appended([token], "Oh, no", ["Oh", ",", "no"], vocabulary.text) for token in ("Oh", "!")]
[' Oh', '!']
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.reading import PARAGRAPH_END
from theano_rnn.text.token_spans import Piece, parts
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import detokenized_pieces, sentence_splitter, word_tokenizer

PROBE = " He"  # is a new sentence after the end of one
splitter = functools.lru_cache(maxsize=8)(sentence_splitter)


def typed_pieces(text: str, vocabulary: Vocabulary, end_id: int) -> tuple[list[Piece], str]:
    """What a model reads of a text, and the blanks after it; the pieces' texts and these, joined, are the text.

    After every sentence comes its end, a piece without text. The last one ends where blanks follow it and a new
    sentence could begin there, with sentences by lines where a line break follows it.
    """
    config = vocabulary.text
    if config.unit == "char":
        tokens = word_tokenizer(config)(text)
        ids = (end_id if token == "\n" else vocabulary.token_to_id(token) for token in tokens)
        return list(map(Piece, text, tokens, ids)), ""
    tokenize, end = word_tokenizer(config), vocabulary.id_to_token(end_id)
    pieces: list[Piece] = []
    here = 0
    for stop, is_ended, follows in sentence_stops(text, config):
        sentence = text[here:stop]
        tokens = tokenize(sentence.replace("\n", " ") + follows)
        if follows:
            tokens.pop()
        if tokens:
            pieces += map(Piece, parts(sentence, tokens), tokens, map(vocabulary.token_to_id, tokens))
            here = stop
            if is_ended:
                pieces.append(Piece("", end, end_id))
    return pieces, text[here:]


def sentence_stops(text: str, config: TextConfig) -> Iterator[tuple[int, bool, str]]:
    """Where each sentence of a text of words stops, whether it ends there, and what is to be imagined after it.

    A sentence that goes on, as after `Mr.`, has another word there: before it the full stop belongs to the token.
    """
    if config.sentences == "line":
        here = 0
        for line in text.split("\n"):
            here += len(line)
            if line.strip():
                yield here, here < len(text), ""
            here += 1
        return
    breaks = [found.span() for found in PARAGRAPH_END.finditer(text)]
    for start, stop in zip([0, *(end for _, end in breaks)], [*(start for start, _ in breaks), len(text)]):
        paragraph = text[start:stop].replace("\n", " ")
        if not paragraph.strip():
            continue
        (*whole, last), here = splitter(config)(paragraph), 0
        for sentence in whole:
            here = paragraph.find(sentence, here) + len(sentence)
            yield start + here, True, ""
        here = paragraph.find(last, here) + len(last)
        goes_on = stop == len(text) and len(splitter(config)(last + PROBE)) == 1
        yield start + here, stop < len(text) or (paragraph[-1].isspace() and not goes_on), PROBE if goes_on else ""


def appended(new: Sequence[str], text: str, tokens: Sequence[str], config: TextConfig) -> str:
    """What further tokens add to a text of `tokens`, a blank before them where one is needed and not yet there.

    >>> appended(["was", "``", "Oh"], 'He said "No" ', ["He", "said", "``", "No", "''"], TextConfig())
    'was "Oh'
    """
    if config.unit == "char":
        return "".join(new)
    added = "".join(itertools.islice(detokenized_pieces([*tokens, *new], config), len(tokens), None))
    return added.lstrip() if text[-1:].isspace() else added
