"""A classifier: a recurrent network that reads a whole text and gives the probability of each label.

    x_t = embedding[token_t]
    h_t = f(x_t W_xh + h_tm1 W_hh + b_h)                     in one or both directions, in one or more layers
    p   = pooling of h_1 .. h_n                              see `nn.pooling`
    P(label | text) = softmax(p W_hy + b_y)
    loss = mean of -ln P(label | text)                       in nats per text

There is one output, at the end of the text. A text is never cut: the gradient goes back to its first token.
"""

from __future__ import annotations

from typing import Any

import aesara
import aesara.tensor as T
import numpy as np

from theano_rnn.engine.compiling import Graph
from theano_rnn.learning.gradients import norms_of
from theano_rnn.learning.trainable import Trainable
from theano_rnn.learning.updates import UpdateRule
from theano_rnn.model import NO_REGULARIZATION, gradients, training_step
from theano_rnn.nn.embedding import EMBEDDING_SCALE, Rows, look_up, make_embedding, project_words
from theano_rnn.nn.encoder import Encoder
from theano_rnn.nn.heads import SoftmaxHead
from theano_rnn.nn.layers import make_layers
from theano_rnn.nn.losses import masked_mean
from theano_rnn.nn.noise import Noise
from theano_rnn.nn.output_layer import training_losses
from theano_rnn.nn.pooling import Pooling
from theano_rnn.nn.regularization import NO_DROPOUT, Dropout, with_penalties
from theano_rnn.settings.network import ClassifierConfig
from theano_rnn.settings.training import RegularizationConfig


class TextClassifier(Trainable):
    """A recurrent classifier of texts.

    Each compiled function has a method of its name, which returns the function's graph. In all of them `tokens` is
    int32 ids (time, batch), `mask` (time, batch), `labels` int32 (batch,) and `weights` (batch,), as in a `TextBatch`.

    Parameters
    ----------
    config : ClassifierConfig
        ``vocab_size`` is the number of words; the embedding has two more rows, for padding and, in language models, for
        the start of a sentence. ``num_labels`` is the size of the output.
    rng : np.random.Generator
    """

    functions = ("train", "loss")
    optional_functions = ("predict", "attributions")

    def __init__(self, config: ClassifierConfig, *, rng: np.random.Generator) -> None:
        super().__init__()
        self.config, self.num_rows = config, config.vocab_size + 2
        options: dict[str, Any] = {"rng": rng, "dtype": config.dtype}
        self.embedding = make_embedding(self.num_rows, config.embedding_size, **options)
        self.layers: Any = make_layers(config, rng=rng) if not config.bidirectional else Encoder(
            config.cell, config.embedding_size, config.hidden_size, config.num_layers, input_scale=EMBEDDING_SCALE,
            recurrent_init=config.recurrent_init, **options,
        )  # fmt: skip
        num_backward = config.hidden_size if config.bidirectional else 0
        num_units = config.hidden_size + num_backward
        self.pooling = Pooling(config.pooling, num_units, num_backward=num_backward, **options)
        self.head = SoftmaxHead(num_units, config.num_labels, **options)
        self.params = {
            "embedding": self.embedding, **self.layers.params, **self.pooling.params, **self.head.params,
        }  # fmt: skip

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns no arrays: every text starts from a zero state."""
        return ()

    def symbols(self) -> tuple[Any, ...]:
        """Returns symbolic tokens, mask, labels and weights."""
        mask, weights = T.matrix("mask", dtype=self.config.dtype), T.vector("weights", dtype=self.config.dtype)
        return T.imatrix("tokens"), mask, T.ivector("labels"), weights

    def read(self, tokens: Any, mask: Any, dropout: Dropout) -> tuple[Any, Rows | None]:
        """Returns the layers' outputs h (time, batch, units), and the rows of the embedding that they read."""
        if self.config.bidirectional:
            x, rows = look_up(self.embedding, tokens, dropout, self.num_rows)
            return self.outputs(x, mask, dropout), rows
        projected, some_rows = project_words(self.embedding, tokens, self.layers, dropout, self.num_rows)
        (h, *_), _ = self.layers.run(projected, mask, self.zeros(tokens), dropout=dropout)
        return h, some_rows

    def outputs(self, x: Any, mask: Any, dropout: Dropout) -> Any:
        """Returns the layers' outputs h (time, batch, units) for word vectors x (time, batch, embedding_size)."""
        if self.config.bidirectional:
            h, _ = self.layers.run(x, mask, self.zeros(x), dropout=dropout)
            return h
        (h, *_), _ = self.layers.run(self.layers.project_over_time(x), mask, self.zeros(x), dropout=dropout)
        return h

    def zeros(self, x: Any) -> list[Any]:
        """Returns the state before the first token, for each column of x (time, batch, ...)."""
        sizes = [array.shape[1] for array in self.layers.initial_state(1)]
        return [T.zeros((x.shape[1], size), self.config.dtype) for size in sizes]

    def scores(self, p: Any) -> Any:
        """Returns the scores of the labels (batch, labels) for pooled outputs p (batch, units)."""
        return T.dot(p, self.head.params["W_hy"]) + self.head.params["b_y"]

    def train(
        self, *, regularization: RegularizationConfig = NO_REGULARIZATION, seed: int = 1, update: Any = None,
        with_norms: bool = False, **rule: Any,
    ) -> Graph:  # fmt: skip
        """train(tokens, mask, labels, weights, learning_rate) -> [loss]

        Make one update. It minimizes the mean of the losses with the `weights`; the loss that it returns is the mean of
        all texts of the batch before the update, in nats per text. Options are those of `WordModel.train`.
        """
        tokens, mask, labels, weights = self.symbols()
        learning_rate = T.scalar("learning_rate", dtype=self.config.dtype)
        noise = Noise(seed, aesara.shared(np.zeros((), "int32"), name="steps"), num_columns=mask.shape[1],
                      dtype=self.config.dtype)  # fmt: skip
        dropout = Dropout(regularization, noise)
        h, rows = self.read(tokens, mask, dropout)
        p = dropout.units(self.pooling.pool(h, mask).dimshuffle("x", 0, 1), "output")[0]  # (batch, units)
        losses, objective = training_losses(self.head, p, labels, regularization.label_smoothing)
        is_text = T.cast(T.gt(mask[0], 0), self.config.dtype)
        loss, minimized = masked_mean(losses, is_text), masked_mean(objective, weights)
        added = with_penalties(T.zeros_like(mask), regularization, h, h, mask)
        if regularization.activation_penalty or regularization.temporal_penalty:
            minimized = minimized + masked_mean(added, mask)
        grads, updates = training_step(
            self, minimized, learning_rate, update=update or UpdateRule(**rule), noise=noise,
            rows={} if rows is None else {"embedding": rows},
        )  # fmt: skip
        norms = [norms_of(grads.values(), self.learned.values())] if with_norms else []
        return Graph([tokens, mask, labels, weights], [], [learning_rate], [loss, *norms], updates=updates)

    def loss(self) -> Graph:
        """loss(tokens, mask, labels, weights) -> [losses, log_probabilities]

        The loss of each text in nats, (batch,), 0 in columns without a text; and the log-probabilities of all labels,
        (labels, batch).
        """
        tokens, mask, labels, weights = self.symbols()
        h, _ = self.read(tokens, mask, NO_DROPOUT)
        p = self.pooling.pool(h, mask)
        losses = self.head.losses(p, labels) * T.cast(T.gt(weights, 0), self.config.dtype)
        return Graph([tokens, mask, labels, weights], outputs=[losses, self.head.log_probabilities(p).T])

    def predict(self) -> Graph:
        """predict(tokens, mask) -> [log-probabilities (labels, batch)]"""
        tokens, mask, *_ = self.symbols()
        h, _ = self.read(tokens, mask, NO_DROPOUT)
        return Graph([tokens, mask], outputs=[self.head.log_probabilities(self.pooling.pool(h, mask)).T])

    def attributions(self) -> Graph:
        """attributions(tokens, mask, labels, scale) -> [contributions (time, batch), log-odds (batch,)]

        The log-odds ``ln P / (1 - P)`` of the label of each column, for word vectors ``scale * x_t``, scale (batch,);
        and what each token contributes to them: ``x_t . d log-odds / d (scale x_t)``. With scale 1 this is gradient
        times vector; its mean over scales between 0 and 1 is the integrated gradient (Sundararajan et al. 2017), whose
        sum is the difference of the log-odds to a text of zero vectors.
        """
        tokens, mask, labels, scale = self.symbols()
        x, _ = look_up(self.embedding, tokens, NO_DROPOUT, self.num_rows)
        scaled = x * scale.dimshuffle("x", 0, "x")
        scores = self.scores(self.pooling.pool(self.outputs(scaled, mask, NO_DROPOUT), mask))
        is_label = T.eq(labels.dimshuffle(0, "x"), T.arange(self.config.num_labels))
        own = T.sum(T.switch(is_label, scores, np.zeros((), scores.dtype)), axis=1, dtype=scores.dtype)
        others = T.switch(is_label, np.asarray(-1e30, scores.dtype), scores)
        top = T.max(others, axis=1)
        rest = T.log(T.sum(T.exp(others - top.dimshuffle(0, "x")), axis=1, dtype=scores.dtype)) + top
        log_odds = own - rest
        total = T.sum(log_odds, dtype=scores.dtype, acc_dtype=scores.dtype)
        gradient = gradients(total, {"x": scaled})["x"]
        contributions = T.sum(x * gradient, axis=2, dtype=x.dtype, acc_dtype=x.dtype) * mask
        return Graph([tokens, mask, labels, scale], outputs=[contributions, log_odds])
