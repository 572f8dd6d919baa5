"""Read a prompt as training reads text, and show it as it was typed."""

from __future__ import annotations

from typing import NamedTuple

from theano_rnn.text.incremental_tokenizing import tokenize_incomplete_text
from theano_rnn.text.normalizing import normalize
from theano_rnn.text.reading import PARAGRAPH_END
from theano_rnn.text.token_spans import Piece
from theano_rnn.text.vocabulary import Vocabulary


class Prompt(NamedTuple):
    """A text that samples begin with: as it was typed, and its tokens, with an end after each finished sentence."""

    text: str = ""
    pieces: tuple[Piece, ...] = ()

    @property
    def ids(self) -> list[int]:
        """The ids that the model reads."""
        return [piece.id for piece in self.pieces]

    @property
    def last_paragraph(self) -> list[str]:
        """The tokens of the paragraph that continues after the prompt, without ends of sentences."""
        breaks = list(PARAGRAPH_END.finditer(self.text))
        start, position, tokens = breaks[-1].end() if breaks else 0, 0, []
        for piece in self.pieces:
            position += len(piece.text)
            if not piece.is_end and position > start:
                tokens.append(piece.token)
        return tokens

    def unknown(self, vocabulary: Vocabulary) -> list[str]:
        """Returns the tokens that are not in the vocabulary."""
        return [piece.token for piece in self.pieces if piece.text and piece.id == vocabulary.unk_id]


def read_prompt(text: str, vocabulary: Vocabulary, end_id: int) -> Prompt:
    """Split a prompt into tokens. A last sentence that could end where the prompt ends has ended.

    >>> vocabulary = Vocabulary.from_sentences([["My", "dear", "Mr.", "He", "went", "."]])
    >>> [piece.token for piece in read_prompt("My dear Mr.", vocabulary, 1).pieces]
    ['My', 'dear', 'Mr.']
    >>> [piece.token for piece in read_prompt("He went. He", vocabulary, 1).pieces]
    ['He', 'went', '.', '</s>', 'He']
    >>> [piece.token for piece in read_prompt("He went.", vocabulary, 1).pieces]
    ['He', 'went', '.', '</s>']
    """
    pieces, _ = tokenize_incomplete_text(text, vocabulary, end_id, ends_sentence=True)
    return Prompt(normalize(text, vocabulary.text), tuple(pieces))
