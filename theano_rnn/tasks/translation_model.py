"""An encoder-decoder: a network reads a whole source sentence, another writes the target sentence, attending to it.

    memory = encoder of x_1 .. x_S, in both directions                            what each source position says
    s_0, a_t, c_t, h_t, P(y_t | y_1 .. y_t-1, x)                                  see `nn.attention_decoder`
    loss   = mean of -ln P(y_t | y_1 .. y_t-1, x)                                 in nats per target token

(Sutskever et al. 2014; Bahdanau et al. 2015.)
"""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
import numpy as np

from theano_rnn.nn.attention_decoder import AttentionDecoder
from theano_rnn.nn.embedding import EMBEDDING_SCALE, look_up, make_embedding
from theano_rnn.nn.encoder import Encoder
from theano_rnn.settings.network import TranslationConfig
from theano_rnn.tasks.attending_model import AttendingModel, Source


class TranslationModel(AttendingModel):
    """An encoder-decoder with attention.

    In its functions, the source is `source`, int32 ids (positions, batch), and `source_mask` (positions, batch), as in
    a `PairBatch`.

    Parameters
    ----------
    config : TranslationConfig
        ``source_vocab_size`` and ``vocab_size`` are the numbers of source and target words; each embedding has two more
        rows, for padding and for the start of a sentence. ``shared_embedding``: both languages have one vocabulary.
    rng : np.random.Generator
    """

    def __init__(self, config: TranslationConfig, *, rng: np.random.Generator) -> None:
        super().__init__()
        self.config, self.num_rows = config, config.vocab_size + 2
        options: dict[str, Any] = {"rng": rng, "dtype": config.dtype}
        self.embedding = make_embedding(self.num_rows, config.embedding_size, **options)
        self.source_embedding, self.source_rows = self.embedding, self.num_rows
        if not config.shared_embedding:
            self.source_rows = config.source_vocab_size + 2
            self.source_embedding = make_embedding(self.source_rows, config.embedding_size, **options)
        self.encoder = Encoder(
            config.cell, config.embedding_size, config.hidden_size, config.num_layers, input_scale=EMBEDDING_SCALE,
            recurrent_init=config.recurrent_init, **options,
        )  # fmt: skip
        self.decoder = AttentionDecoder(config, self.embedding, memory_size=2 * config.hidden_size, rng=rng)
        self.params = {
            "embedding": self.embedding,
            **({} if config.shared_embedding else {"source_embedding": self.source_embedding}),
            **{f"encoder.{name}": p for name, p in self.encoder.params.items()},
            **self.decoder.params,
        }

    def source_symbols(self) -> list[Any]:
        """Returns symbolic source and source mask."""
        return [T.imatrix("source"), T.matrix("source_mask", dtype=self.config.dtype)]

    def read(self, source: Any, source_mask: Any, dropout: Any, is_real: Any = None) -> Source:
        """Encode source sentences."""
        x, rows = look_up(self.source_embedding, source, dropout, self.source_rows)
        sizes = [array.shape[1] for array in self.encoder.initial_state(1)]
        zeros = [T.zeros((source.shape[1], size), self.config.dtype) for size in sizes]
        memory, _ = self.encoder.run(x, source_mask, zeros, dropout=dropout)
        memory = memory * source_mask.dimshuffle(0, 1, "x")
        state = self.decoder.first_state(memory, source_mask)
        context = self.decoder.cell.context(dropout.units(memory, "layer"), source_mask)
        return Source(state, context, {} if self.config.shared_embedding else {"source_embedding": rows})
