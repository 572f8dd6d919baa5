"""Turn whole texts into the ids that a classifier reads, exactly as its training reads them.

A text is one paragraph, or one line of characters: see `labelled_sources.paragraphs`. Its last token is the end of a
sentence or of a line, so a text has at least one token.

>>> vocabulary = Vocabulary.from_sentences([["It", "is", "dull", "."]])
>>> encode = text_encoder(vocabulary)
>>> vocabulary.decode(encode("It is dull. It\\nis long."))
['It', 'is', 'dull', '.', '</s>', 'It', 'is', '<unk>', '.', '</s>']
>>> [piece.text for piece in pieces_of_text("It is dull. It is long.", vocabulary)]
['It', ' is', ' dull', '.', '', 'It', ' is', ' long', '.', '']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.incremental_tokenizing import character_pieces
from theano_rnn.text.labelled_sources import one_line
from theano_rnn.text.normalizing import normalize
from theano_rnn.text.reading import CHUNK_CHARACTERS, chunks, split_chunk
from theano_rnn.text.sources import Source
from theano_rnn.text.tables import MAX_ROW_CHARACTERS, Table
from theano_rnn.text.token_spans import Piece, pieces_of_sentences
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import model_tokenizer, sentence_splitter

LONGEST = CHUNK_CHARACTERS - 2  # characters of a text that the tokenizer of files does not divide


def readable_text(text: str, config: TextConfig) -> str:
    """Returns a text as a classifier reads it: normalized, without line breaks; "" if it is blank."""
    text = normalize(text.replace("\r\n", "\n").replace("\r", "\n"), config)
    return one_line(text, config) if text.strip() else ""


def text_encoder(vocabulary: Vocabulary) -> Callable[[str], list[int]]:
    """Returns a function that returns the ids of a text; none if the text is blank."""
    config, eos_id = vocabulary.text, vocabulary.eos_id
    split, tokenize, token_to_id = text_splitter(config), model_tokenizer(vocabulary), vocabulary.token_to_id

    def encode_words(text: str) -> list[int]:
        ids: list[int] = []
        for part, is_complete in split(readable_text(text, config)):
            ids.extend(map(token_to_id, tokenize(part)))
            if is_complete:
                ids.append(eos_id)
        return ids

    def encode_characters(text: str) -> list[int]:
        line = readable_text(text, config)
        return list(map(token_to_id, [*tokenize(line), "\n"])) if line else []

    return encode_characters if config.unit == "char" else encode_words


def text_splitter(config: TextConfig) -> Callable[[str], list[tuple[str, bool]]]:
    """Returns a function that splits a `readable_text` into sentences; none if the text is blank.

    Each comes with whether it is complete: a sentence of a very long text may come in parts, as in training.
    """
    split = sentence_splitter(config)

    def split_text(text: str) -> list[tuple[str, bool]]:
        if len(text) <= LONGEST:
            return [(sentence, True) for sentence in split(text)] if text else []
        return [
            (sentence, is_complete)
            for chunk in chunks(iter([text]), config)
            for sentence, is_complete, _ in split_chunk(chunk, config, split)
        ]

    return split_text


def pieces_of_text(text: str, vocabulary: Vocabulary) -> list[Piece]:
    """Returns the tokens of a text, each with its part of the text; the ids are those of `text_encoder`."""
    config = vocabulary.text
    text = readable_text(text, config)
    if config.unit == "char":
        end_id = vocabulary.token_to_id("\n")
        return list(character_pieces(text + "\n", vocabulary, end_id)) if text else []
    pieces: list[Piece] = []
    for part, is_complete in text_splitter(config)(text):
        pieces += pieces_of_sentences([part], vocabulary, end_id=vocabulary.eos_id if is_complete else None)
    return pieces


def rows_of(source: Source) -> Iterator[str | None]:
    """Yields the lines of a text file, or the text of each row of a table; both may be blank.

    If the text is being written meanwhile, None says that no further line has arrived yet.

    Raises
    ------
    UserError
        As in `Source.blocks`, and if a line is too long.
    """
    source.file.seek(0)
    if source.format.table is not None:
        yield from Table(source.name, source.format.table, source.column).all_texts(source.decoded_blocks())
        return
    number, rest = 1, ""
    for block in source.decoded_blocks():
        *lines, rest = (rest + block).split("\n")
        yield from lines
        number += len(lines)
        if len(rest) > MAX_ROW_CHARACTERS:
            raise UserError(f"{source.name} line {number:,}: the line has more than {MAX_ROW_CHARACTERS >> 20} Mi "
                            "characters: split it into several lines")  # fmt: skip
        if source.is_arriving:
            yield None
    if rest:
        yield rest
