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

from collections.abc import Sequence
from typing import Any

import aesara
import aesara.tensor as T
import numpy as np

from theano_rnn.model import Hidden, WordModel
from theano_rnn.nn.embedding import look_up
from theano_rnn.nn.initializers import uniform
from theano_rnn.nn.layers import Layers, make_layers
from theano_rnn.nn.regularization import Dropout
from theano_rnn.settings.network import ModelConfig
from theano_rnn.text.vocabulary import Vocabulary


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

    sees_future = True

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
        vectors, rows = look_up(self.embedding, ids, dropout, self.num_rows)
        time, batch = tokens.shape[0], tokens.shape[1]
        before, after = self.forward.project_over_time(vectors[:time]), self.backward.project_over_time(vectors[time:])
        (h_forward, *_), final = self.forward.run(before, mask, state, dropout=dropout)
        zeros = [T.zeros((batch, array.shape[1]), self.config.dtype) for array in self.backward.initial_state(1)]
        (h_backward, *_), _ = self.backward.run(after, mask, zeros, dropout=dropout, backwards=True)
        sides = T.concatenate([h_forward, h_backward], axis=2).reshape((time * batch, 2 * self.config.hidden_size))
        h = T.tanh(T.dot(sides, self.join["W_join"]) + self.join["b_join"])
        return Hidden(h.reshape((time, batch, self.config.hidden_size)), final, rows)


def following(targets: Any, mask: Any, end_id: int) -> Any:
    """The word after each word, `end_id` after the last: int32 (time, batch)."""
    end = np.asarray(end_id, "int32")
    after = T.switch(T.gt(mask[1:], 0), targets[1:], end)
    return T.concatenate([after, T.zeros_like(targets[:1]) + end], axis=0)
