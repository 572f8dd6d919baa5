"""A recognizer: a recurrent network that reads the frames of a recording and gives the labels spoken at each step.

    h_1 .. h_T = layers of x_1 .. x_T               in both directions, or forward only; x_t are stacked frames
    P_t(k)     = softmax(h_t W_hy + b_y)_k          label k, from 1, or the blank, 0
    loss       = -ln P(labels | x_1 .. x_T)         by CTC, see `nn.ctc`; in nats per label

(Graves et al. 2006 and 2013.) The recordings are not aligned with their labels: CTC sums over all alignments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aesara
import aesara.tensor as T
import numpy as np

from theano_rnn.engine.compiling import Graph
from theano_rnn.learning.gradients import norms_of
from theano_rnn.learning.trainable import Trainable
from theano_rnn.learning.updates import UpdateRule
from theano_rnn.model import NO_REGULARIZATION, training_step
from theano_rnn.nn.ctc import ctc_losses, mean_per_label
from theano_rnn.nn.encoder import Encoder
from theano_rnn.nn.heads import SoftmaxHead
from theano_rnn.nn.layers import Layers
from theano_rnn.nn.losses import masked_mean
from theano_rnn.nn.noise import Noise
from theano_rnn.nn.regularization import NO_DROPOUT, Dropout, with_penalties
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import RecognitionConfig
from theano_rnn.settings.training import RegularizationConfig

HEAD_SCALE = 1.0  # on AN4, the first labels are read after 6 epochs; with the small weights of other heads, after 9


class RecognitionModel(Trainable):
    """A recurrent network with CTC.

    Each compiled function has a method of its name, which returns the function's graph. In all of them `frames` is
    float (time, batch, num_inputs), `mask` (time, batch), and `labels` int32 (places, batch), from 1, with 0 as
    padding, as in an `UtteranceBatch`.

    Parameters
    ----------
    config : RecognitionConfig
        ``num_labels`` is the number of labels without the blank; the output has one more.
    rng : np.random.Generator
    """

    functions = ("train", "loss")
    optional_functions = ("predict", "step")

    def __init__(self, config: RecognitionConfig, *, rng: np.random.Generator) -> None:
        super().__init__()
        self.config = config
        options: dict[str, Any] = {"rng": rng, "dtype": config.dtype}
        kind = Encoder if config.bidirectional else Layers
        self.layers: Any = kind(config.cell, config.num_inputs, config.hidden_size, config.num_layers,
                                recurrent_init=config.recurrent_init, **options)  # fmt: skip
        self.num_units = config.hidden_size * (2 if config.bidirectional else 1)
        self.head = SoftmaxHead(self.num_units, 1 + config.num_labels, scale=HEAD_SCALE, **options)
        self.params = {**self.layers.params, **self.head.params}

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns no arrays: every recording starts from a zero state."""
        return ()

    def first_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns the state before the first frame for `step`: NumPy arrays (batch_size, units)."""
        return tuple(self.layers.initial_state(batch_size))

    def symbols(self) -> tuple[Any, Any, Any]:
        """Returns symbolic frames, mask and labels."""
        dtype = self.config.dtype
        return T.tensor3("frames", dtype=dtype), T.matrix("mask", dtype=dtype), T.imatrix("labels")

    def outputs(self, frames: Any, mask: Any, dropout: Dropout) -> Any:
        """Returns the layers' outputs h (time, batch, units)."""
        sizes = [array.shape[1] for array in self.layers.initial_state(1)]
        zeros = [T.zeros((frames.shape[1], size), self.config.dtype) for size in sizes]
        x = dropout.units(frames, "input")
        if self.config.bidirectional:
            h, _ = self.layers.run(x, mask, zeros, dropout=dropout)
            return h
        (h, *_), _ = self.layers.run(self.layers.project_over_time(x), mask, zeros, dropout=dropout)
        return h

    def log_probabilities(self, h: Any) -> Any:
        """Returns ``ln P_t`` (time, batch, 1 + labels) for outputs h (time, batch, units)."""
        rows = self.head.log_probabilities(h.reshape((h.shape[0] * h.shape[1], self.num_units)))
        return rows.reshape((h.shape[0], h.shape[1], 1 + self.config.num_labels))

    def train(
        self, *, regularization: RegularizationConfig = NO_REGULARIZATION, seed: int = 1, update: Any = None,
        with_norms: bool = False, **rule: Any,
    ) -> Graph:  # fmt: skip
        """train(frames, mask, labels, learning_rate) -> [loss]

        Make one update. The loss is the one before the update, in nats per label of the batch. Recordings too short for
        their labels, whose loss is infinite, do not count. Options are those of `WordModel.train`.
        """
        frames, mask, labels = self.symbols()
        learning_rate = T.scalar("learning_rate", dtype=self.config.dtype)
        noise = Noise(seed, aesara.shared(np.zeros((), "int32"), name="steps"), num_columns=mask.shape[1],
                      dtype=self.config.dtype)  # fmt: skip
        dropout = Dropout(regularization, noise)
        h = self.outputs(frames, mask, dropout)
        dropped = dropout.units(h, "output")
        loss = mean_per_label(ctc_losses(self.log_probabilities(dropped), mask, labels), mask, labels)
        minimized = loss
        if regularization.activation_penalty or regularization.temporal_penalty:
            added = with_penalties(T.zeros_like(mask), regularization, dropped, h, mask)
            minimized = loss + masked_mean(added * mask, mask)
        grads, updates = training_step(self, minimized, learning_rate, update=update or UpdateRule(**rule), noise=noise)
        norms = [norms_of(grads.values(), self.learned.values())] if with_norms else []
        return Graph([frames, mask, labels], [], [learning_rate], [loss, *norms], updates=updates)

    def loss(self) -> Graph:
        """loss(frames, mask, labels) -> [losses, log_probabilities]

        The loss of each recording in nats, (batch,), infinite if it is too short for its labels and 0 in columns
        without a recording; and ``ln P_t`` of the blank and all labels, (time, batch, 1 + labels).
        """
        frames, mask, labels = self.symbols()
        log_p = self.log_probabilities(self.outputs(frames, mask, NO_DROPOUT))
        return Graph([frames, mask, labels], outputs=[ctc_losses(log_p, mask, labels), log_p])

    def predict(self) -> Graph:
        """predict(frames, mask) -> [log_probabilities (time, batch, 1 + labels)]"""
        frames, mask, _ = self.symbols()
        return Graph([frames, mask], outputs=[self.log_probabilities(self.outputs(frames, mask, NO_DROPOUT))])

    def step(self) -> Graph:
        """step(frames_t, *state) -> [log_probabilities (batch, 1 + labels), *state]

        Read one more time step of each recording, (batch, num_inputs). The state before the first is `first_state`.

        Raises
        ------
        UserError
            The network reads in both directions.
        """
        if self.config.bidirectional:
            raise UserError("this recognizer reads recordings in both directions, so it needs their end: train one "
                            "with --no-bidirectional to recognize speech while it is arriving")  # fmt: skip
        dtype = self.config.dtype
        frames_t = T.matrix("frames_t", dtype=dtype)
        state: Sequence[Any] = [T.matrix(f"state{i}", dtype=dtype) for i in range(len(self.first_state(1)))]
        (h_t, *_), new_state = self.layers.step(frames_t, state)
        log_p = self.head.log_probabilities(h_t)
        return Graph([frames_t], state, outputs=[log_p], new_state=new_state, batch_axis=0)
