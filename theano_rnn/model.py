"""Chapter 2: the recurrent language model, as symbolic graphs.

A language model predicts each token from those before it; a recurrent one (Mikolov et al. 2010) reads them into h:

    x_t = embedding[token_t]
    h_t = f(x_t W_xh + h_tm1 W_hh + b_h)                                    the recurrence
    P(token_t+1 | token_1 .. token_t) = softmax(h_t W_hy + b_y)             the prediction
    loss = mean of -ln P(token_t+1 | token_1 .. token_t)                    in nats per token
    p <- p - rate * d loss / d p                                            an update, for every parameter p

Read from top to bottom: `gradients` differentiates the loss; `training_step` turns gradients into updates, for any
model; `WordModel` turns hidden states into probabilities of words, with one method per compiled function; `RNNLM` adds
the recurrence, in `hidden`. The loop over time, ``aesara.scan``, is in `nn.unrolling.unroll`. ``T.grad`` differentiates
through that loop: this is backpropagation through time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import aesara
import aesara.tensor as T
import numpy as np

from theano_rnn.engine.changed_flags import changed_flags
from theano_rnn.engine.compiling import Graph
from theano_rnn.engine.parallel import batch_is_divided, sum_over_devices
from theano_rnn.engine.static_shapes import cheap_shapes
from theano_rnn.learning.gradients import RowGradient, norms_of
from theano_rnn.learning.trainable import Trainable
from theano_rnn.learning.updates import UpdateRule
from theano_rnn.nn.embedding import Rows, make_embedding, project_words
from theano_rnn.nn.layers import Layers, make_layers
from theano_rnn.nn.losses import masked_mean
from theano_rnn.nn.noise import Noise
from theano_rnn.nn.output_layer import make_head, training_losses
from theano_rnn.nn.regularization import NO_DROPOUT, Dropout, with_penalties
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.training import RegularizationConfig, check_head, resolved_head

NO_REGULARIZATION = RegularizationConfig()


@cheap_shapes()
def gradients(loss: Any, params: Mapping[str, Any], rows: Mapping[str, Rows] | None = None) -> dict[str, Any]:
    """Returns the gradient ``d loss / d p`` of every parameter p, by name, from one call of ``T.grad``.

    If the loss reads only some rows of a parameter, `rows` names them, and the gradient is a `RowGradient`.
    """
    rows = {} if batch_is_divided() else rows or {}  # devices sum whole gradients
    variables = {**params, **{name: used.vectors for name, used in rows.items()}}
    with changed_flags(floatX=loss.dtype):  # dtype of a scan's inner gradients, float64 by default
        grads = dict(zip(variables, map(sum_over_devices, T.grad(loss, list(variables.values())))))
    for name, used in rows.items():
        grads[name] = RowGradient(grads[name], used.ids.flatten(), params[name].get_value(borrow=True).shape[0])
    return grads


def training_step(
    model: Trainable, loss: Any, learning_rate: Any, *, update: Any, noise: Noise | None = None, rows: Any = None
) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Returns the gradients of `loss` and the updates of the parameters, for a model of any kind.

    The update rule clips the gradients, applies weight decay and runs the optimizer. Sets the model's
    `optimizer_state` and `averages`.

    Parameters
    ----------
    update : UpdateRule, or another object with a method `apply` like its own
    noise
        The source of dropout masks. If the loss uses it, its step counter becomes part of the optimizer state.
    rows
        As for `gradients`.
    """
    grads = gradients(loss, model.learned, rows)
    factors = [model.rate_factors] if model.rate_factors else []
    updates, model.optimizer_state, model.averages = update.apply(model.learned, grads, learning_rate, *factors)
    if noise is not None and noise.num_sites:
        updates[noise.step] = noise.step + np.int32(1)
        model.optimizer_state["steps"] = noise.step
    return grads, updates


class Hidden(NamedTuple):
    """The input of the output layer, `h` (time, batch, units); the `final` state; the embedding `rows` of the batch."""

    h: Any
    final: Sequence[Any]
    rows: Rows | None


class WordModel(Trainable):
    """A model of word probabilities: an embedding, a network that the subclass defines, and a head (output layer).

    Each compiled function has a method of its name, which returns the function's graph. In all of them `tokens` and
    `targets` are int32 ids (time, batch), `mask` is (time, batch), and `state` is any number of arrays (batch, units).

    Parameters
    ----------
    config : ModelConfig
        ``vocab_size`` is the size of the output. The embedding has two more rows, for padding and for the start of a
        sentence, which the model reads but never predicts.
    layers : mapping
        The `Layers`, by the prefix of their parameter names.
    num_features : int
        Number of hidden units that the head reads.
    rng : np.random.Generator
        Draws the initial embedding and head.
    """

    functions: ClassVar[tuple[str, ...]] = ("train", "predict", "loss")
    optional_functions = ("features",)
    sees_future: ClassVar[bool] = False  # whether h_t depends on the targets of other time steps

    def __init__(
        self, config: ModelConfig, layers: Mapping[str, Layers], num_features: int, *, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.config = config = resolved_head(config)
        self.num_features, self.num_rows = num_features, config.vocab_size + 2
        self.embedding = make_embedding(self.num_rows, config.embedding_size, rng=rng, dtype=config.dtype)
        self.head = make_head(config, num_features, self.embedding, rng=rng)
        self.prepared_inputs = self.head.inputs
        named = {prefix + name: p for prefix, stack in layers.items() for name, p in stack.params.items()}
        self.params = {"embedding": self.embedding, **named, **self.head.params}

    def hidden(self, tokens: Any, targets: Any, mask: Any, state: Sequence[Any], dropout: Dropout) -> Hidden:
        """Returns the head's input at every time step, from ids (time, batch). Defined by each subclass."""
        raise NotImplementedError

    def train(
        self, *, regularization: RegularizationConfig = NO_REGULARIZATION, seed: int = 1, update: Any = None,
        with_norms: bool = False, **rule: Any,
    ) -> Graph:  # fmt: skip
        """train(tokens, targets, mask, *state, learning_rate) -> [loss, *state]

        Make one update: ``p <- p - rate * d loss / d p``, or the optimizer's variant of it. The loss is the one before
        the update, in nats per token of the batch, padding excluded. `seed` is for dropout masks. `rule` holds options
        of `UpdateRule`; `update` replaces the whole rule. `with_norms` adds a second result, float (2, parameters):
        the L2 norms of the gradients before clipping and of the parameters.
        """
        tokens, targets, mask, state = self.symbols()
        learning_rate = T.scalar("learning_rate", dtype=self.config.dtype)
        num_updates = aesara.shared(np.zeros((), "int32"), name="steps")
        noise = Noise(seed, num_updates, num_columns=mask.shape[1], dtype=self.config.dtype)
        dropout = Dropout(regularization, noise)
        hidden = self.hidden(tokens, targets, mask, state, dropout)
        h = dropout.units(hidden.h, "output")
        pair = training_losses(self.head, self.flat(h), targets.flatten(), regularization.label_smoothing)
        losses, objective = (values.reshape(mask.shape) for values in pair)  # reported, and minimized
        objective = with_penalties(objective, regularization, h, hidden.h, mask)
        loss, minimized = masked_mean(losses, mask), masked_mean(objective, mask)
        is_whole = hidden.rows is None or self.config.tie_weights  # the head, or a small vocabulary, reads every row
        rows = {} if is_whole else {"embedding": hidden.rows}
        grads, updates = training_step(
            self, minimized, learning_rate, update=update or UpdateRule(**rule), noise=noise, rows=rows
        )
        norms = [norms_of(grads.values(), self.learned.values())] if with_norms else []
        inputs, totals = [tokens, targets, mask], [loss, *norms]
        return Graph(inputs, state, [learning_rate], totals, new_state=hidden.final, updates=updates)

    def predict(self) -> Graph:
        """predict(tokens, mask, *state) -> [log_probabilities, *state]; if `sees_future`, targets are the second input.

        Returns ``ln P(v)`` of every word v at each time step: (time, batch, vocab).
        """
        tokens, targets, mask, state = self.symbols()
        hidden = self.hidden(tokens, targets, mask, state, NO_DROPOUT)
        log_p = self.head.log_probabilities(self.flat(hidden.h))
        log_p = log_p.reshape((tokens.shape[0], tokens.shape[1], self.config.vocab_size))
        inputs = [tokens, targets, mask] if self.sees_future else [tokens, mask]
        return Graph(inputs, state, outputs=[log_p], new_state=hidden.final)

    def loss(self) -> Graph:
        """loss(tokens, targets, mask, *state) -> [losses, *state]

        Returns ``-ln P(target)`` in nats at each time step, 0 at padding: (time, batch).
        """
        graph = self.features()
        return graph._replace(outputs=graph.outputs[:1])

    def features(self) -> Graph:
        """features(tokens, targets, mask, *state) -> [losses, h, *state]

        Returns the losses, as `loss` does, and the head's input h (time, batch, hidden).
        """
        tokens, targets, mask, state = self.symbols()
        hidden = self.hidden(tokens, targets, mask, state, NO_DROPOUT)
        losses = self.head.losses(self.flat(hidden.h), targets.flatten()).reshape(mask.shape)
        return Graph([tokens, targets, mask], state, outputs=[losses * mask, hidden.h], new_state=hidden.final)

    def symbols(self) -> tuple[Any, Any, Any, list[Any]]:
        """Returns symbolic variables for the tokens, targets and mask of a batch, and for the state."""
        mask = T.matrix("mask", dtype=self.config.dtype)
        return T.imatrix("tokens"), T.imatrix("targets"), mask, self.symbolic_state()

    def flat(self, h: Any) -> Any:
        """Reshape (time, batch, hidden) to (time * batch, hidden)."""
        return h.reshape((h.shape[0] * h.shape[1], self.num_features))

    def prepare(self, tokens: Any, targets: Any, mask: Any) -> list[Any]:
        return list(self.head.prepare(targets, mask))

    def check(self, num_devices: int | None, **training: Any) -> None:
        check_head(self.config, training.get("regularization") or NO_REGULARIZATION, num_devices)


class RNNLM(WordModel):
    """A recurrent language model: it predicts the next token.

    Parameters
    ----------
    config, rng
        As for `WordModel`. The initial embedding is small, so the first layer's ``W_xh`` starts large: otherwise the
        units hardly react to words, and ``W_hh`` grows until they saturate. The output layer starts so small that the
        first loss is ln(vocab_size), that of a uniform guess; with tied weights and tanh units it is about a nat more.
    layers : optional
        Replaces the `Layers` that `config` describes. Raises `ValueError` if they see the future.
    """

    functions = ("train", "predict", "loss", "step")

    def __init__(self, config: ModelConfig, *, rng: np.random.Generator, layers: Any = None) -> None:
        self.layers = layers or make_layers(config, rng=rng)
        if self.layers.sees_future:
            raise ValueError("layers that see the future would read the target of a language model: give layers that "
                             "run forward only")  # fmt: skip
        super().__init__(config, {"": self.layers}, config.hidden_size, rng=rng)

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns zeros: NumPy arrays (batch_size, hidden_size), those of the first layer first."""
        return self.layers.initial_state(batch_size)

    def hidden(self, tokens: Any, targets: Any, mask: Any, state: Sequence[Any], dropout: Dropout) -> Hidden:
        """Compute ``h_t = f(x_t W_xh + h_tm1 W_hh + b_h)`` for all t, in each layer. Reads `tokens`, not `targets`."""
        projected, rows = project_words(self.embedding, tokens, self.layers, dropout, self.num_rows)
        (h, *_), final = self.layers.run(projected, mask, state, dropout=dropout)
        return Hidden(h, final, rows)

    def step(self) -> Graph:
        """step(tokens_t, *state) -> [log_probabilities, *state]

        Read one token per sequence and return ``ln P(v)`` of every next token v: (batch, vocab). The state holds all
        that came before, so a token costs the same however long the text is.
        """
        tokens_t, state = T.ivector("tokens_t"), self.symbolic_state()
        (h_t, *_), final = self.layers.step(self.embedding[tokens_t], state)
        log_p = self.head.log_probabilities(h_t)
        return Graph([tokens_t], state, outputs=[log_p], new_state=final, batch_axis=0)
