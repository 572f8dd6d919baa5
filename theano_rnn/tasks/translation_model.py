"""An encoder-decoder: a network reads a whole source sentence, another writes the target sentence, attending to it.

    memory = encoder of x_1 .. x_S, in both directions                            what each source position says
    s_0    = tanh(mean of memory W_s + b_s)                                       the decoder's first state
    a_t, c_t, h_t = attention cell(y_t-1, h_tm1, memory)                          see `nn.attention`
    r_t    = tanh(y_t-1 W_ry + h_t W_rh + c_t W_rc + b_r)                         readout
    P(y_t | y_1 .. y_t-1, x) = softmax(r_t W_hy + b_y)
    loss   = mean of -ln P(y_t | y_1 .. y_t-1, x)                                 in nats per target token

(Sutskever et al. 2014; Bahdanau et al. 2015.) y_t-1 is the vector of the word before, in training the true one.
"""

from __future__ import annotations

import itertools
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
from theano_rnn.nn.attention import AttentionCell
from theano_rnn.nn.embedding import EMBEDDING_SCALE, Rows, look_up, make_embedding
from theano_rnn.nn.encoder import Encoder
from theano_rnn.nn.heads import SoftmaxHead
from theano_rnn.nn.initializers import uniform
from theano_rnn.nn.layers import Layers, projected_over_time
from theano_rnn.nn.losses import masked_mean
from theano_rnn.nn.noise import Noise
from theano_rnn.nn.output_layer import training_losses
from theano_rnn.nn.regularization import NO_DROPOUT, Dropout
from theano_rnn.nn.top_scores import top_scores
from theano_rnn.nn.unrolling import unroll
from theano_rnn.settings.network import TranslationConfig
from theano_rnn.settings.training import RegularizationConfig

NUM_CONTEXT = 3  # keys, memory, bias


class Decoded(NamedTuple):
    """Readout r (time, batch, embedding_size) and attention weights (time, positions, batch) of target sentences."""

    r: Any
    weights: Any


class TranslationModel(Trainable):
    """An encoder-decoder with attention.

    In its functions, `source` is int32 ids (positions, batch), `source_mask` (positions, batch), `tokens` and `targets`
    int32 ids (time, batch), `mask` (time, batch), as in a `PairBatch`.

    Parameters
    ----------
    config : TranslationConfig
        ``source_vocab_size`` and ``vocab_size`` are the numbers of source and target words; each embedding has two more
        rows, for padding and for the start of a sentence. ``shared_embedding``: both languages have one vocabulary.
    rng : np.random.Generator
    """

    functions = ("train", "loss")
    optional_functions = ("encode", "step", "search_step", "attention")

    def __init__(self, config: TranslationConfig, *, rng: np.random.Generator) -> None:
        super().__init__()
        self.num_top = 10  # of a search step: twice the size of the beam
        self.config, self.num_rows = config, config.vocab_size + 2
        options: dict[str, Any] = {"rng": rng, "dtype": config.dtype}
        sizes = {"embedding_size": config.embedding_size, "hidden_size": config.hidden_size}
        self.embedding = make_embedding(self.num_rows, sizes["embedding_size"], **options)
        self.source_embedding, self.source_rows = self.embedding, self.num_rows
        if not config.shared_embedding:
            self.source_rows = config.source_vocab_size + 2
            self.source_embedding = make_embedding(self.source_rows, sizes["embedding_size"], **options)
        cells: dict[str, Any] = {"input_scale": EMBEDDING_SCALE, "recurrent_init": config.recurrent_init, **options}
        self.encoder = Encoder(config.cell, sizes["embedding_size"], sizes["hidden_size"], config.num_layers, **cells)
        memory_size = 2 * config.hidden_size
        self.attention_cell = AttentionCell(
            config.cell, config.attention, sizes["embedding_size"], config.hidden_size, memory_size=memory_size,
            attention_size=config.hidden_size, **cells,
        )  # fmt: skip
        self.upper = Layers(
            config.cell, config.hidden_size, config.hidden_size, config.num_layers - 1,
            recurrent_init=config.recurrent_init, **options,
        ) if config.num_layers > 1 else None  # fmt: skip
        tied = self.embedding if config.tie_weights else None
        self.head = SoftmaxHead(config.embedding_size, config.vocab_size, embedding=tied, **options)
        self.state_sizes = [array.shape[1] for array in self.attention_cell.initial_state(1)]
        self.state_sizes += [array.shape[1] for array in self.upper.initial_state(1)] if self.upper else []
        start_size = sum(self.state_sizes)
        values = {
            "W_s": uniform((memory_size, start_size), rng=rng), "b_s": np.zeros(start_size),
            "W_ry": uniform((config.embedding_size, config.embedding_size), rng=rng) / EMBEDDING_SCALE,
            "W_rh": uniform((config.hidden_size, config.embedding_size), rng=rng),
            "W_rc": uniform((memory_size, config.embedding_size), rng=rng), "b_r": np.zeros(config.embedding_size),
        }  # fmt: skip
        self.joins = {name: aesara.shared(value.astype(config.dtype), name=name) for name, value in values.items()}
        self.params = {
            "embedding": self.embedding,
            **({} if config.shared_embedding else {"source_embedding": self.source_embedding}),
            **{f"encoder.{name}": p for name, p in self.encoder.params.items()},
            **{f"decoder.layer0.{name}": p for name, p in self.attention_cell.params.items()},
            **{f"decoder.upper.{name}": p for name, p in (self.upper.params if self.upper else {}).items()},
            **self.joins,
            **self.head.params,
        }

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns no arrays: every pair starts anew."""
        return ()

    def symbols(self) -> tuple[Any, ...]:
        """Returns symbolic source, source mask, tokens, targets and mask."""
        source_mask, mask = (T.matrix(name, dtype=self.config.dtype) for name in ("source_mask", "mask"))
        return T.imatrix("source"), source_mask, T.imatrix("tokens"), T.imatrix("targets"), mask

    def read(self, source: Any, source_mask: Any, dropout: Dropout) -> tuple[list[Any], list[Any], Rows]:
        """Encode source sentences.

        Returns the decoder's first state, (batch, units) each; what it attends to, see `AttentionCell.context`; and the
        rows of the source embedding that the sentences use.
        """
        x, rows = look_up(self.source_embedding, source, dropout, self.source_rows)
        sizes = [array.shape[1] for array in self.encoder.initial_state(1)]
        zeros = [T.zeros((source.shape[1], size), self.config.dtype) for size in sizes]
        memory, _ = self.encoder.run(x, source_mask, zeros, dropout=dropout)
        memory = memory * source_mask.dimshuffle(0, 1, "x")
        dtype = self.config.dtype
        lengths = T.maximum(T.sum(source_mask, axis=0, dtype=dtype, acc_dtype=dtype), np.ones((), dtype))
        mean = T.sum(memory, axis=0, dtype=dtype, acc_dtype=dtype) / lengths.dimshuffle(0, "x")
        start = T.tanh(T.dot(mean, self.joins["W_s"]) + self.joins["b_s"])
        return self.split_state(start), self.attention_cell.context(dropout.units(memory, "layer"), source_mask), rows

    def split_state(self, state: Any) -> list[Any]:
        """Split an array of all states side by side (batch, units) into the states."""
        edges = np.cumsum([0, *self.state_sizes]).tolist()
        return [state[:, begin:end] for begin, end in itertools.pairwise(edges)]

    def write(self, y: Any, mask: Any, state: Sequence[Any], context: Sequence[Any], dropout: Dropout) -> Decoded:
        """Run the decoder over target sentences, given the vectors y (time, batch, size) of the words before."""
        count = self.attention_cell.num_states
        params = {
            name: dropout.recurrent(f"decoder.layer0.{name}", p) for name, p in self.attention_cell.params.items()
        }
        (h, c, weights), _ = unroll(
            self.attention_cell, projected_over_time(self.attention_cell, y), mask, state[:count], params=params,
            context=context,
        )  # fmt: skip
        if self.upper is not None:
            below = dropout.units(h, "layer")
            (h, *_), _ = self.upper.run(self.upper.project_over_time(below), mask, state[count:], dropout=dropout)
        return Decoded(self.readout(y, h, c), weights)

    def readout(self, y: Any, h: Any, c: Any) -> Any:
        """Returns ``tanh(y W_ry + h W_rh + c W_rc + b_r)`` over the last axis."""
        parts = [(y, "W_ry"), (h, "W_rh"), (c, "W_rc")]
        total: Any = self.joins["b_r"]
        for array, name in parts:
            rows = array if array.ndim == 2 else array.reshape((array.shape[0] * array.shape[1], array.shape[2]))
            total = T.dot(rows, self.joins[name]) + total
        r = T.tanh(total)
        return r if y.ndim == 2 else r.reshape((y.shape[0], y.shape[1], r.shape[1]))

    def train(
        self, *, regularization: RegularizationConfig = NO_REGULARIZATION, seed: int = 1, update: Any = None,
        with_norms: bool = False, **rule: Any,
    ) -> Graph:  # fmt: skip
        """train(source, source_mask, tokens, targets, mask, learning_rate) -> [loss]

        Make one update. Loss and options are those of `WordModel.train`.
        """
        source, source_mask, tokens, targets, mask = self.symbols()
        learning_rate = T.scalar("learning_rate", dtype=self.config.dtype)
        noise = Noise(seed, aesara.shared(np.zeros((), "int32"), name="steps"), num_columns=mask.shape[1],
                      dtype=self.config.dtype)  # fmt: skip
        dropout = Dropout(regularization, noise)
        state, context, source_rows = self.read(source, source_mask, dropout)
        y, _ = look_up(self.embedding, tokens, dropout, self.num_rows)
        r = dropout.units(self.write(y, mask, state, context, dropout).r, "output")
        flat = r.reshape((r.shape[0] * r.shape[1], r.shape[2]))
        pair = training_losses(self.head, flat, targets.flatten(), regularization.label_smoothing)
        loss, minimized = (masked_mean(values.reshape(mask.shape), mask) for values in pair)
        rows = {} if self.config.shared_embedding else {"source_embedding": source_rows}
        grads, updates = training_step(
            self, minimized, learning_rate, update=update or UpdateRule(**rule), noise=noise, rows=rows
        )
        norms = [norms_of(grads.values(), self.params.values())] if with_norms else []
        inputs = [source, source_mask, tokens, targets, mask]
        return Graph(inputs, [], [learning_rate], [loss, *norms], updates=updates)

    def loss(self) -> Graph:
        """loss(source, source_mask, tokens, targets, mask) -> [losses (time, batch)], in nats, 0 at padding"""
        source, source_mask, tokens, targets, mask = self.symbols()
        r = self.forced(source, source_mask, tokens, mask).r
        losses = self.head.losses(r.reshape((r.shape[0] * r.shape[1], r.shape[2])), targets.flatten())
        return Graph([source, source_mask, tokens, targets, mask], outputs=[losses.reshape(mask.shape) * mask])

    def attention(self) -> Graph:
        """attention(source, source_mask, tokens, mask) -> [weights (time, batch, positions)], 0 at padding

        The weight of each source position when the next word is chosen after each of `tokens`.
        """
        source, source_mask, tokens, _, mask = self.symbols()
        weights = self.forced(source, source_mask, tokens, mask).weights.dimshuffle(0, 2, 1)
        return Graph([source, source_mask, tokens, mask], outputs=[weights * mask.dimshuffle(0, 1, "x")])

    def forced(self, source: Any, source_mask: Any, tokens: Any, mask: Any) -> Decoded:
        """Run encoder and decoder on given pairs, without dropout."""
        state, context, _ = self.read(source, source_mask, NO_DROPOUT)
        y, _ = look_up(self.embedding, tokens, NO_DROPOUT, self.num_rows)
        return self.write(y, mask, state, context, NO_DROPOUT)

    def encode(self) -> Graph:
        """encode(source, source_mask, columns) -> [*state, keys, memory, bias]

        What `step` takes besides the words before. Column i of the results is that of sentence ``columns[i]``, so that
        each sentence may have several hypotheses.
        """
        source, source_mask, *_ = self.symbols()
        columns = T.ivector("columns")
        state, context, _ = self.read(source, source_mask, NO_DROPOUT)
        results = [each[columns] for each in state] + [each[:, columns] for each in context]
        return Graph([source, source_mask], others=[columns], totals=results)

    def step_symbols(self) -> tuple[Any, list[Any], list[Any]]:
        """Returns symbolic tokens (batch,), states, and keys, memory and bias."""
        dtype = self.config.dtype
        state = [T.matrix(f"state{i}", dtype=dtype) for i in range(len(self.state_sizes))]
        context = [T.tensor3("keys", dtype=dtype), T.tensor3("memory", dtype=dtype), T.matrix("bias", dtype=dtype)]
        return T.ivector("tokens"), state, context

    def next_scores(self, tokens: Any, state: Sequence[Any], context: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
        """Returns the log-probabilities of the next words (batch, vocab), the attention weights when they are chosen
        (positions, batch), and the new state.
        """
        count, cell = self.attention_cell.num_states, self.attention_cell
        y_t = self.embedding[tokens]
        fixed = [cell.params[name] for name in cell.recurrent]
        h, c, weights, *new_state = cell.step(cell.project(y_t, cell.params), *state[:count], *fixed, *context)
        if self.upper is not None:
            (h, *_), upper_state = self.upper.step(h, state[count:])
            new_state += upper_state
        return self.head.log_probabilities(self.readout(y_t, h, c)), weights, new_state

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
        log_p, _, new_state = self.next_scores(tokens, [each[parents] for each in state], context)
        values, words = top_scores(log_p + banned, self.num_top)
        return Graph([tokens, parents], state, [banned, *context], outputs=[values, words], new_state=new_state,
                     batch_axis=0)  # fmt: skip
