"""Fill in the missing word: a model of each word of a sentence, given all other words of the sentence.

    forward_t  = layers over the words 1 .. t-1, from the left
    backward_t = layers over the words n .. t+1, from the right
    h_t = tanh([forward_t, backward_t] W_join + b_join)
    P(word_t | all others) = softmax(h_t W_hy + b_y)_word_t

Both stacks may be deep, but they are joined only after their last recurrent layers (as in context2vec, Melamud et al.
2016, and ELMo, Peters et al. 2018). If they were joined earlier, word t would leak into its own prediction: a forward
layer reads it, and a backward layer would bring it back from t+1. Without ``tanh``, probabilities would be a product of
one factor from the left context and one from the right.
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
    """A model of each word of a sentence, given the other words.

    The inputs `tokens`, `targets` and `mask` are as for a language model (see `blanks.batches`): the word before each
    word, and the word itself. ``predict(tokens, targets, mask, *state)`` returns the probabilities of every word at
    each position, given the words at all other positions. They do not depend on the target at the position itself.

    Parameters
    ----------
    config : ModelConfig
        ``hidden_size`` and ``num_layers`` are the sizes of one direction.
    end_id : int
        The id after the last word, the first input of the backward stack.
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
        """Returns zeros for the forward stack. If a long sentence is split, only this stack carries its state over."""
        return self.forward.initial_state(batch_size)

    def hidden(self, tokens: Any, targets: Any, mask: Any, state: Sequence[Any], dropout: Dropout) -> Hidden:
        """Compute both stacks and join them: (time, batch, hidden_size)."""
        ids = T.concatenate([tokens, next_words(targets, mask, self.end_id)], axis=0)  # (2 * time, batch)
        vectors, rows = look_up(self.embedding, ids, dropout, self.num_rows)
        time, batch = tokens.shape[0], tokens.shape[1]
        before, after = self.forward.project_over_time(vectors[:time]), self.backward.project_over_time(vectors[time:])
        (h_forward, *_), final = self.forward.run(before, mask, state, dropout=dropout)
        zeros = [T.zeros((batch, array.shape[1]), self.config.dtype) for array in self.backward.initial_state(1)]
        (h_backward, *_), _ = self.backward.run(after, mask, zeros, dropout=dropout, backwards=True)
        sides = T.concatenate([h_forward, h_backward], axis=2).reshape((time * batch, 2 * self.config.hidden_size))
        h = T.tanh(T.dot(sides, self.join["W_join"]) + self.join["b_join"])
        return Hidden(h.reshape((time, batch, self.config.hidden_size)), final, rows)


def next_words(targets: Any, mask: Any, end_id: int) -> Any:
    """Returns the word after each target, `end_id` after the last: int32 (time, batch)."""
    end = np.asarray(end_id, "int32")
    after = T.switch(T.gt(mask[1:], 0), targets[1:], end)
    return T.concatenate([after, T.zeros_like(targets[:1]) + end], axis=0)
