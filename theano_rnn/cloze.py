"""Fill in the missing word: a model of a word given all the others of its sentence.

    forward_t  = stack over the words 1 .. t-1, from the left
    backward_t = stack over the words n .. t+1, from the right
    h_t = tanh([forward_t, backward_t] W_join + b_join)
    P(word_t | all others) = softmax(h_t W_hy + b_y)_word_t

Each stack may be deep, but in its own direction alone: they are joined only where no recurrent layer comes after (as in
context2vec, Melamud et al. 2016, and ELMo, Peters et al. 2018). Were they joined lower down, a layer at t+1 would have
read word t from the left and would tell it from the right. Without ``tanh`` the probabilities would be a product of
what each side alone says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import aesara
import aesara.tensor as T
import numpy as np

from theano_rnn.batching import Ids, Sentences, sentence_lengths
from theano_rnn.config import ModelConfig
from theano_rnn.initializers import uniform
from theano_rnn.layers import Layers
from theano_rnn.model import Hidden, WordModel, make_layers, run_layers
from theano_rnn.preprocessing import Vocabulary
from theano_rnn.regularization import Dropout

BLANK = re.compile("_{2,}")


class Cloze(WordModel):
    """A model of each word of a sentence given the others.

    Of its functions `tokens`, `targets` and `mask` are as for a model of the next token (`batches` makes them): the
    word before each word, and the word itself. ``predict(tokens, targets, mask, *state)`` gives the probabilities of
    every word at each place, given those at the other places; what `targets` has at a place changes nothing there.

    Parameters
    ----------
    config : ModelConfig
        ``hidden_size`` and ``num_layers`` are those of one direction.
    end_id : int
        What the last word is followed by; from there the backward stack starts.
    rng : np.random.Generator
    """

    def __init__(self, config: ModelConfig, *, rng: np.random.Generator, end_id: int = Vocabulary.eos_id) -> None:
        self.end_id = end_id
        self.forward, self.backward = make_layers(config, rng=rng), make_layers(config, rng=rng)
        stacks: dict[str, Layers] = {"forward.": self.forward, "backward.": self.backward}
        shape = 2 * config.hidden_size, config.hidden_size
        values = {"W_join": uniform(shape, rng=rng), "b_join": np.zeros(config.hidden_size)}
        self.join = {name: aesara.shared(value.astype(config.dtype), name=name) for name, value in values.items()}
        super().__init__(config, stacks, config.hidden_size, rng=rng)
        self.params |= self.join

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Zeros of the forward stack, the only one that is carried over where a sentence is cut for its length."""
        return self.forward.initial_state(batch_size)

    def hidden(self, tokens: Any, targets: Any, mask: Any, state: Sequence[Any], dropout: Dropout) -> Hidden:
        """Both stacks, joined (time, batch, hidden_size)."""
        ids = T.concatenate([tokens, following(targets, mask, self.end_id)], axis=0)  # (2 * time, batch)
        x, vectors = self.looked_up(ids, dropout)
        time, batch = tokens.shape[0], tokens.shape[1]
        before, after = self.forward.project_over_time(vectors[:time]), self.backward.project_over_time(vectors[time:])
        h_forward, final = run_layers(self.forward, before, mask, state, dropout)
        zeros = [T.zeros((batch, array.shape[1]), self.config.dtype) for array in self.backward.initial_state(1)]
        h_backward, _ = run_layers(self.backward, after, mask, zeros, dropout, backwards=True)
        sides = T.concatenate([h_forward, h_backward], axis=2).reshape((time * batch, 2 * self.config.hidden_size))
        h = T.tanh(T.dot(sides, self.join["W_join"]) + self.join["b_join"])
        return Hidden(h.reshape((time, batch, self.config.hidden_size)), final, x, ids)

    def seen(self, tokens: Any, targets: Any) -> list[Any]:
        """What ``predict`` takes: both."""
        return [tokens, targets]


def following(targets: Any, mask: Any, end_id: int) -> Any:
    """The word after each word, `end_id` after the last: int32 (time, batch)."""
    end = np.asarray(end_id, "int32")
    after = T.switch(T.gt(mask[1:], 0), targets[1:], end)
    return T.concatenate([after, T.zeros_like(targets[:1]) + end], axis=0)


def batches(
    ids: Ids, vocabulary: Vocabulary, *, batch_size: int, rng: np.random.Generator | None = None, dtype: str = "float32"
) -> Sentences:
    """Batches of the sentences of `ids` without their ends: a target is a word, which has words on both sides.

    A sentence of more than 256 words is read in pieces, each as if it ended there.
    """
    lengths = sentence_lengths(ids, vocabulary.eos_id)
    words = ids != vocabulary.eos_id
    lengths = lengths - np.add.reduceat(~words, np.cumsum(lengths) - lengths) if len(lengths) else lengths
    return Sentences(
        ids[words], batch_size=batch_size, start_id=vocabulary.bos_id, pad_id=vocabulary.pad_id,
        lengths=lengths[lengths > 0], rng=rng, dtype=dtype,
    )  # fmt: skip


def is_blank(token: str) -> bool:
    """Whether a token stands for a missing word."""
    return BLANK.fullmatch(token) is not None


def fill(
    predict: Callable[..., list[Any]],
    initial_state: Callable[[int], tuple[Any, ...]],
    vocabulary: Vocabulary,
    tokens: Sequence[str],
    *,
    num_words: int = 5,
    dtype: str = "float32",
) -> list[list[tuple[str, float]]]:
    """The likeliest words of each blank (two or more underscores) of a sentence, with their probabilities.

    `<unk>` is not among them; the other probabilities are as they are. With several blanks each is filled for itself,
    the others being unknown words.

    Parameters
    ----------
    predict : as of `Cloze`
    tokens : the sentence, split as the training text was

    Returns
    -------
    list of (word, probability), the likeliest first, for each blank
    """
    blanks = [place for place, token in enumerate(tokens) if is_blank(token)]
    ids = vocabulary.encode(tokens)
    source = Sentences(
        ids, batch_size=1, start_id=vocabulary.bos_id, pad_id=vocabulary.pad_id, lengths=np.array([len(ids)]),
        dtype=dtype,
    )  # fmt: skip
    rows: list[Any] = []
    state: Any = ()
    for batch in source:
        state = initial_state(1) if batch.is_start else state
        log_p, *state = predict(batch.tokens, batch.targets, batch.mask, *state)
        rows.extend(np.asarray(log_p)[: int(batch.mask.sum()), 0])
    found = []
    for place in blanks:
        p = np.exp(np.asarray(rows[place], np.float64))
        p[[vocabulary.unk_id, vocabulary.eos_id]] = -1
        best = np.argsort(-p, kind="stable")[: min(num_words, len(p) - 2)]
        found.append([(vocabulary.id_to_token(i), float(p[i])) for i in best])
    return found
