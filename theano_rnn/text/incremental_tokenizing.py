"""Tokenize text while a user is still typing it, and find what text a further token would add.

The last sentence of such a text may be incomplete, so it is not clear yet where it ends, or whether the full stop of
`Mr.` ends it.

>>> vocabulary = Vocabulary.from_sentences([["Oh", ",", "no", ".", "!"]])
>>> pieces, rest = tokenize_incomplete_text("Oh,\\n no!  Oh. ", vocabulary, vocabulary.eos_id)
>>> [piece.text for piece in pieces], rest
(['Oh', ',', '\\n no', '!', '', '  Oh', '.', ''], ' ')
>>> [text_to_append([token], "Oh, no", ["Oh", ",", "no"], vocabulary.text) for token in ("Oh", "!")]
[' Oh', '!']
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence

from theano_rnn.settings.text import TextConfig
from theano_rnn.text.normalizing import normalize
from theano_rnn.text.reading import PARAGRAPH_END
from theano_rnn.text.spacing import has_spacing_marks, without_last_mark
from theano_rnn.text.token_spans import Piece, pieces_of_tokens
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import detokenized_pieces, sentence_splitter, word_tokenizer

PROBE = " He"  # text to try after a sentence: it begins a new sentence if that one has ended
cached_splitter = functools.lru_cache(maxsize=8)(sentence_splitter)


def tokenize_incomplete_text(
    text: str, vocabulary: Vocabulary, end_id: int, *, ends_sentence: bool = False
) -> tuple[list[Piece], str]:
    """Returns the tokens of a text, each with its part of the text, and the white space after the last token.

    The texts of the pieces, joined and followed by that white space, are `text`, normalized. A piece without text, of
    id `end_id`, ends each sentence. The last sentence has ended if white space follows it and a new sentence could
    begin there; with `sentences="line"`, if a line break follows it. With `ends_sentence`, no white space is needed.
    """
    config = vocabulary.text
    text = normalize(text, config)
    if config.unit == "char":
        return list(character_pieces(text, vocabulary, end_id)), ""
    tokenize, end_token = word_tokenizer(config), vocabulary.id_to_token(end_id)
    pieces: list[Piece] = []
    start = 0
    for end, is_ended, probe in sentence_ends(text, config, ends_sentence=ends_sentence):
        sentence = text[start:end]
        probe = probe if config.unit == "word" else ""  # only a word tokenizer looks at the next word
        tokens = tokenize(sentence.replace("\n", " ") + probe)
        if probe:
            tokens.pop()
            if tokens and has_spacing_marks(config):
                tokens[-1] = without_last_mark(tokens[-1])  # about the blank before the probe
        if tokens:
            pieces += pieces_of_tokens(sentence, tokens, vocabulary)
            start = end
            if is_ended:
                pieces.append(Piece("", end_token, end_id))
    return pieces, text[start:]


def character_pieces(text: str, vocabulary: Vocabulary, end_id: int) -> Iterator[Piece]:
    """Yields the tokens of a text of characters. A capital letter of two characters in lower case has two pieces."""
    tokenize = word_tokenizer(vocabulary.text)
    for character in text:
        for number, token in enumerate(tokenize(character)):
            yield Piece("" if number else character, token, end_id if token == "\n" else vocabulary.token_to_id(token))


def sentence_ends(text: str, config: TextConfig, *, ends_sentence: bool = False) -> Iterator[tuple[int, bool, str]]:
    """Yields, for each sentence, its end position, whether it has ended, and text to tokenize it with.

    That text is a word after a sentence that has not ended, as after `Mr.`; otherwise it is empty. The word keeps the
    full stop in the token `Mr.`: at the end of a sentence, the full stop would be a token of its own.
    """
    if config.sentences == "line":
        position = 0
        for line in text.split("\n"):
            position += len(line)
            if line.strip():
                yield position, position < len(text), ""
            position += 1
        return
    breaks = [found.span() for found in PARAGRAPH_END.finditer(text)]
    for start, end in zip([0, *(end for _, end in breaks)], [*(start for start, _ in breaks), len(text)]):
        paragraph = text[start:end].replace("\n", " ")
        if not paragraph.strip():
            continue
        (*complete, last), position = cached_splitter(config)(paragraph), 0
        for sentence in complete:
            position = paragraph.find(sentence, position) + len(sentence)
            yield start + position, True, ""
        position = paragraph.find(last, position) + len(last)
        continues = end == len(text) and len(cached_splitter(config)(last + PROBE)) == 1
        is_ended = end < len(text) or ((ends_sentence or paragraph[-1].isspace()) and not continues)
        yield start + position, is_ended, PROBE if continues else ""


def text_to_append(new: Sequence[str], text: str, tokens: Sequence[str], config: TextConfig) -> str:
    """Returns the text that the tokens `new` add to `text`, whose own tokens are `tokens`.

    It begins with a space if one is needed and `text` does not end with one. Empty if no text can be added, because a
    piece continues a word after which `text` has a space, or is a part of a character.

    >>> text_to_append(["was", "``", "Oh"], 'He said "No" ', ["He", "said", "``", "No", "''"], TextConfig())
    'was "Oh'
    """
    if config.unit == "char":
        return "".join(new)
    added = "".join(itertools.islice(detokenized_pieces([*tokens, *new], config), len(tokens), None))
    if config.unit == "subword":
        is_cut = text[-1:].isspace() and bool(tokens) and not added.startswith(" ")
        return "" if is_cut or "\ufffd" in added else added.lstrip(" ") if text[-1:].isspace() else added
    return added.lstrip() if text[-1:].isspace() else added
