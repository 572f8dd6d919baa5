"""A model that reads a source, whatever it is, and writes a text about it with an `AttentionDecoder`.

    loss   = mean of -ln P(y_t | y_1 .. y_t-1, source)                            in nats per token

In training, the word before each word is the true one. A translator reads sentences, a captioner pictures.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import aesara
import aesara.tensor as T
import numpy as np

from theano_rnn.engine.compiling import Graph
from theano_rnn.learning.gradients import norms_of
from theano_rnn.learning.trainable import Trainable
from theano_rnn.learning.updates import UpdateRule
from theano_rnn.model import NO_REGULARIZATION, training_step
from theano_rnn.nn.attention_decoder import AttentionDecoder, Decoded
from theano_rnn.nn.embedding import Rows, look_up
from theano_rnn.nn.losses import masked_mean
from theano_rnn.nn.noise import Noise
from theano_rnn.nn.output_layer import training_losses
from theano_rnn.nn.regularization import NO_DROPOUT, Dropout
from theano_rnn.settings.training import RegularizationConfig


class Source(NamedTuple):
    """What the decoder needs of a source: its first state, what it attends to, and rows of embeddings by name.

    state
        As of `AttentionDecoder.first_state`.
    context
        As of `AttentionCell.context`.
    rows
        The rows that are used of embeddings other than that of the words written, for their gradients.
    statistics
        In training, new values of the model's statistics.
    """

    state: Sequence[Any]
    context: Sequence[Any]
    rows: dict[str, Rows]
    statistics: dict[Any, Any] = {}  # noqa: RUF012 - never changed


class AttendingModel(Trainable):
    """A model that writes a text about a source. Subclasses say what a source is: `source_symbols` and `read`.

    In its functions, `source` stands for all arrays of a source, with the batch as their second axis; `tokens` and
    `targets` are int32 ids (time, batch) and `mask` (time, batch).

    Attributes
    ----------
    embedding : shared variable (num_rows, embedding_size)
        The vectors of the words that are written, and two more rows, for padding and for the start of a text.
    decoder : AttentionDecoder
    num_top : int
        How many words a search step returns: twice the size of the beam.
    """

    functions = ("train", "loss")
    optional_functions = ("encode", "step", "search_step", "attention", "pair_loss")

    embedding: Any
    num_rows: int
    decoder: AttentionDecoder
    num_top: int = 10

    @abstractmethod
    def source_symbols(self) -> list[Any]:
        """Returns the symbolic arrays of a source."""

    @abstractmethod
    def read(self, *arguments: Any, **training: Any) -> Source:
        """Read sources, given the arrays of `source_symbols` and a `Dropout`.

        In training it gets `is_real`, too, float (batch,): 1 for each column that has a source.
        """

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns no arrays: every source is read by itself."""
        return ()

    def symbols(self) -> tuple[list[Any], Any, Any, Any]:
        """Returns the symbolic arrays of a source, and symbolic tokens, targets and mask."""
        mask = T.matrix("mask", dtype=self.config.dtype)
        return self.source_symbols(), T.imatrix("tokens"), T.imatrix("targets"), mask

    def penalty(self, weights: Any, mask: Any, regularization: RegularizationConfig) -> Any | None:
        """Returns what training adds to the loss for attention weights (time, positions, batch), or None."""
        return None

    def train(
        self, *, regularization: RegularizationConfig = NO_REGULARIZATION, seed: int = 1, update: Any = None,
        with_norms: bool = False, **rule: Any,
    ) -> Graph:  # fmt: skip
        """train(*source, tokens, targets, mask, learning_rate) -> [loss]

        Make one update. Loss and options are those of `WordModel.train`.
        """
        source, tokens, targets, mask = self.symbols()
        learning_rate = T.scalar("learning_rate", dtype=self.config.dtype)
        noise = Noise(seed, aesara.shared(np.zeros((), "int32"), name="steps"), num_columns=mask.shape[1],
                      dtype=self.config.dtype)  # fmt: skip
        dropout = Dropout(regularization, noise)
        state, context, rows, statistics = self.read(*source, dropout, is_real=mask[0])
        y, _ = look_up(self.embedding, tokens, dropout, self.num_rows)
        decoded = self.decoder.run(y, mask, state, context, dropout)
        r = dropout.units(decoded.r, "output")
        flat = r.reshape((r.shape[0] * r.shape[1], r.shape[2]))
        pair = training_losses(self.decoder.head, flat, targets.flatten(), regularization.label_smoothing)
        loss, minimized = (masked_mean(values.reshape(mask.shape), mask) for values in pair)
        if (penalty := self.penalty(decoded.weights, mask, regularization)) is not None:
            minimized = minimized + penalty
        grads, updates = training_step(
            self, minimized, learning_rate, update=update or UpdateRule(**rule), noise=noise, rows=rows
        )
        updates |= statistics
        if self.averages:
            self.averages |= {name: self.params[name] for name in self.statistics}
        norms = [norms_of(grads.values(), self.learned.values())] if with_norms else []
        return Graph([*source, tokens, targets, mask], [], [learning_rate], [loss, *norms], updates=updates)

    def loss(self) -> Graph:
        """loss(*source, tokens, targets, mask) -> [losses (time, batch)], in nats, 0 at padding"""
        source, tokens, targets, mask = self.symbols()
        r = self.forced(source, tokens, mask).r
        losses = self.decoder.head.losses(r.reshape((r.shape[0] * r.shape[1], r.shape[2])), targets.flatten())
        return Graph([*source, tokens, targets, mask], outputs=[losses.reshape(mask.shape) * mask])

    def pair_loss(self) -> Graph:
        """pair_loss(*source, columns, tokens, targets, mask) -> [losses (batch,)], in nats, each of a whole text

        Column i is a text about the source ``columns[i]``, so that a source of many texts is read once.
        """
        source, tokens, targets, mask = self.symbols()
        columns = T.ivector("columns")
        state, context, *_ = self.read(*source, NO_DROPOUT)
        state, context = [each[columns] for each in state], [each[:, columns] for each in context]
        y, _ = look_up(self.embedding, tokens, NO_DROPOUT, self.num_rows)
        r = self.decoder.run(y, mask, state, context, NO_DROPOUT).r
        losses = self.decoder.head.losses(r.reshape((r.shape[0] * r.shape[1], r.shape[2])), targets.flatten())
        total = T.sum(losses.reshape(mask.shape) * mask, axis=0, dtype=self.config.dtype, acc_dtype=self.config.dtype)
        return Graph(source, others=[columns, tokens, targets, mask], totals=[total])

    def attention(self) -> Graph:
        """attention(*source, tokens, mask) -> [weights (time, batch, positions)], 0 at padding

        The weight of each position of the source when the next word is chosen after each of `tokens`.
        """
        source, tokens, _, mask = self.symbols()
        weights = self.forced(source, tokens, mask).weights.dimshuffle(0, 2, 1)
        return Graph([*source, tokens, mask], outputs=[weights * mask.dimshuffle(0, 1, "x")])

    def forced(self, source: Sequence[Any], tokens: Any, mask: Any) -> Decoded:
        """Read sources and given texts, without dropout."""
        state, context, *_ = self.read(*source, NO_DROPOUT)
        y, _ = look_up(self.embedding, tokens, NO_DROPOUT, self.num_rows)
        return self.decoder.run(y, mask, state, context, NO_DROPOUT)

    def encode(self) -> Graph:
        """encode(*source, columns) -> [*state, keys, memory, bias]

        What `step` takes besides the words before. Column i of the results is that of source ``columns[i]``, so that
        each source may have several hypotheses.
        """
        source, columns = self.source_symbols(), T.ivector("columns")
        state, context, *_ = self.read(*source, NO_DROPOUT)
        results = [each[columns] for each in state] + [each[:, columns] for each in context]
        return Graph(source, others=[columns], totals=results)

    def step_symbols(self) -> tuple[Any, list[Any], list[Any]]:
        """Returns symbolic tokens (batch,), states, and keys, memory and bias."""
        dtype = self.config.dtype
        state = [T.matrix(f"state{i}", dtype=dtype) for i in range(len(self.decoder.state_sizes))]
        context = [T.tensor3("keys", dtype=dtype), T.tensor3("memory", dtype=dtype), T.matrix("bias", dtype=dtype)]
        return T.ivector("tokens"), state, context

    def next_scores(self, tokens: Any, state: Sequence[Any], context: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
        """Returns the log-probabilities of the next words (batch, vocab), the attention weights when they are chosen
        (positions, batch), and the new state.
        """
        r, weights, new_state = self.decoder.step(self.embedding[tokens], state, context)
        return self.decoder.head.log_probabilities(r), weights, new_state

    def step(self) -> Graph:
        """step(tokens, *state, keys, memory, bias) -> [log-probabilities (batch, vocab), *state]"""
        tokens, state, context = self.step_symbols()
        log_p, _, new_state = self.next_scores(tokens, state, context)
        return Graph([tokens], state, context, outputs=[log_p], new_state=new_state, batch_axis=0)

    def search_step(self) -> Graph:
        """search_step(tokens, parents, banned, *state, keys, memory, bias) -> [log-probabilities, words, *state]

        One step of a beam search: column i continues the hypothesis of column ``parents[i]`` of the step before with
        the word ``tokens[i]``. Returns the `num_top` likeliest next words of each column, (batch, num_top) each.
        `banned` (vocab,) is added to the log-probabilities; the returned ones do not include it.
        """
        tokens, state, context = self.step_symbols()
        parents, banned = T.ivector("parents"), T.vector("banned", dtype=self.config.dtype)
        r, _, new_state = self.decoder.step(self.embedding[tokens], [each[parents] for each in state], context)
        values, words = self.decoder.head.likeliest(r, banned, self.num_top)
        return Graph([tokens, parents], state, [banned, *context], outputs=[values, words], new_state=new_state,
                     batch_axis=0)  # fmt: skip
