"""Fill in missing words: training batches, blanks in typed sentences, and the most likely words for a blank."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.learning.batching import Ids, Sentences, sentence_lengths
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.normalizing import normalize
from theano_rnn.text.vocabulary import Vocabulary
from theano_rnn.text.words import sentence_splitter, word_tokenizer

BLANK = re.compile(r"(?<!\w)_{2,}(?!\w)")  # neither _italics_ nor a part of a word
BLANK_TOKEN = "___"


def batches(
    ids: Ids, vocabulary: Vocabulary, *, batch_size: int, rng: np.random.Generator | None = None, dtype: str = "float32"
) -> Sentences:
    """Returns batches of the sentences of `ids`. Targets are words only; the ends of sentences are removed.

    A sentence of more than 256 words is split into pieces, each of which is treated as a sentence.
    """
    lengths = sentence_lengths(ids, vocabulary.eos_id)
    words = ids != vocabulary.eos_id
    lengths = lengths - np.add.reduceat(~words, np.cumsum(lengths) - lengths) if len(lengths) else lengths
    return Sentences(
        ids[words], batch_size=batch_size, start_id=vocabulary.bos_id, pad_id=vocabulary.pad_id,
        lengths=lengths[lengths > 0], rng=rng, dtype=dtype,
    )  # fmt: skip


def read_blanks(line: str, text: TextConfig) -> list[tuple[list[str], list[int]]]:
    """Returns the tokens of each sentence that has a blank (two or more underscores), and the positions of its blanks.

    Raises
    ------
    UserError
        The line has no blank, or a blank is part of a token.

    Examples
    --------
    >>> read_blanks('He left. "Is it ___?" She asked ____.', TextConfig())
    [(['``', 'Is', 'it', '___', '?', "''"], [3]), (['She', 'asked', '___', '.'], [2])]
    """
    line = normalize(line, text)
    word = "blank"  # replaces each blank, because the tokenizer separates a word from its context
    while word in line.lower():
        word += "k"
    marked, count = BLANK.subn(word, line)
    tokenize, found = word_tokenizer(text), []
    for sentence in sentence_splitter(text)(marked):
        tokens = tokenize(sentence)
        places = [place for place, token in enumerate(tokens) if token == word]
        if places:
            found.append(([BLANK_TOKEN if token == word else token for token in tokens], places))
    if not count or count != sum(len(places) for _, places in found):
        raise UserError(f"no blank in {line[:60]!r}: write ___ for the missing word, with spaces around it")
    return found


def fill(
    predict: Callable[..., list[Any]],
    initial_state: Callable[[int], tuple[Any, ...]],
    vocabulary: Vocabulary,
    tokens: Sequence[str],
    places: Sequence[int],
    *,
    num_words: int = 5,
    dtype: str = "float32",
) -> list[list[tuple[str, float]]]:
    """Returns the most likely words for each blank of a sentence, with their probabilities.

    `<unk>` is left out, without renormalizing the other probabilities. Each of several blanks is filled independently;
    meanwhile the other blanks are unknown words.

    Parameters
    ----------
    predict
        The compiled ``predict`` of a `Cloze` model.
    tokens
        The sentence, tokenized like the training text.
    places
        The positions of the blanks, in increasing order.

    Returns
    -------
    list of (word, probability), the most likely first, for each position
    """
    ids = vocabulary.encode(tokens)
    ids[list(places)] = vocabulary.unk_id
    source = Sentences(
        ids, batch_size=1, start_id=vocabulary.bos_id, pad_id=vocabulary.pad_id, lengths=np.array([len(ids)]),
        dtype=dtype,
    )  # fmt: skip
    found: list[list[tuple[str, float]]] = []
    first, state = 0, list(initial_state(1))
    for batch in source:
        log_p, *state = predict(batch.tokens, batch.targets, batch.mask, *state)
        for place in places:
            if first <= place < first + len(batch.tokens):
                p = np.exp(np.asarray(log_p[place - first, 0], np.float64))
                p[[vocabulary.unk_id, vocabulary.eos_id]] = -1
                best = np.argsort(-p, kind="stable")[: min(num_words, len(p) - 2)]
                found.append([(vocabulary.id_to_token(i), float(p[i])) for i in best])
        first += len(batch.tokens)
    return found


class Example(NamedTuple):
    """A sentence with a blank, the original word, and the model's guesses."""

    tokens: list[str]
    word: str
    guesses: list[tuple[str, float]]


def examples(
    predict: Callable[..., list[Any]],
    initial_state: Callable[[int], tuple[Any, ...]],
    vocabulary: Vocabulary,
    ids: Ids,
    *,
    rng: np.random.Generator,
    num_words: int = 5,
    dtype: str = "float32",
) -> Iterator[Example]:
    """Yield sentences of `ids` in random order, each with one word of at least four letters replaced by a blank.

    Only sentences of 5 to 24 tokens without unknown words are used, so that a reader can judge the guesses.
    """
    lengths = sentence_lengths(ids, vocabulary.eos_id)
    begins = np.cumsum(lengths) - lengths
    for number in rng.permutation(np.flatnonzero((lengths > 5) & (lengths <= 25))):
        sentence = ids[begins[number] : begins[number] + lengths[number] - 1]
        tokens = vocabulary.decode(sentence)
        places = [i for i, token in enumerate(tokens) if token.isalpha() and len(token) > 3]
        if vocabulary.unk_id in sentence or not places:
            continue
        place = int(rng.choice(places))
        word, tokens[place] = tokens[place], BLANK_TOKEN
        (guesses,) = fill(predict, initial_state, vocabulary, tokens, [place], num_words=num_words, dtype=dtype)
        yield Example(tokens, word, guesses)
