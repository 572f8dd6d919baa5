"""A captioner: a convolutional network sees a picture, a recurrent one describes it and attends to its regions.

    memory = image encoder of the picture                                         see `nn.image_encoder`
    s_0, a_t, c_t, h_t, P(y_t | y_1 .. y_t-1, picture)                            see `nn.attention_decoder`
    loss   = mean of -ln P(y_t | y_1 .. y_t-1, picture)                           in nats per token

(Xu et al. 2015, "Show, Attend and Tell", with soft attention, which they call deterministic.) Its *doubly stochastic*
penalty asks that a caption looks at every region equally often in all:

    penalty = weight * sum over pictures of sum_i (1 - sum_t a_ti)^2 / number of tokens

A sum over regions i of sum_t a_ti is the number of tokens, so it makes no difference to the gradient which number
stands in the place of 1.
"""

from __future__ import annotations

from typing import Any

import aesara.tensor as T
import numpy as np

from theano_rnn.engine.parallel import sum_over_devices
from theano_rnn.nn.attention_decoder import AttentionDecoder
from theano_rnn.nn.embedding import make_embedding
from theano_rnn.nn.image_encoder import FeatureEncoder, ImageEncoder
from theano_rnn.settings.network import DescriptionConfig
from theano_rnn.settings.training import RegularizationConfig
from theano_rnn.tasks.attending_model import AttendingModel, Source


class CaptionModel(AttendingModel):
    """A captioner.

    In its functions, the source is `images`, float (height, batch, width, 3); or with ready-made features float
    (regions, batch, feature_size).

    Parameters
    ----------
    config : DescriptionConfig
        ``vocab_size`` is the number of words; the embedding has two more rows, for padding and for the start.
    rng : np.random.Generator
    """

    def __init__(self, config: DescriptionConfig, *, rng: np.random.Generator) -> None:
        super().__init__()
        self.config, self.num_rows = config, config.vocab_size + 2
        options: dict[str, Any] = {"rng": rng, "dtype": config.dtype}
        self.embedding = make_embedding(self.num_rows, config.embedding_size, **options)
        self.encoder: ImageEncoder | FeatureEncoder
        if config.feature_size:
            self.encoder = FeatureEncoder(config.num_regions, config.feature_size, config.channels[-1], **options)
        else:
            self.encoder = ImageEncoder(config.channels, height=config.height, width=config.width, **options)
        self.decoder = AttentionDecoder(
            config, self.embedding, memory_size=self.encoder.memory_size, rng=rng, readout_of_word=False
        )
        self.params = {
            "embedding": self.embedding,
            **{f"encoder.{name}": p for name, p in self.encoder.params.items()},
            **self.decoder.params,
        }
        self.statistics = tuple(f"encoder.{name}" for name in self.encoder.statistics)

    def source_symbols(self) -> list[Any]:
        """Returns the symbolic pictures or features."""
        kind = T.tensor3 if self.config.feature_size else T.tensor4
        return [kind("images", dtype=self.config.dtype)]

    def read(self, images: Any, dropout: Any, is_real: Any = None) -> Source:
        """Encode pictures or features."""
        memory, statistics = self.encoder.regions(images, is_real)
        mask = T.ones((memory.shape[0], memory.shape[1]), self.config.dtype)
        state = self.decoder.first_state(memory, mask)
        return Source(state, self.decoder.cell.context(dropout.units(memory, "layer"), mask), {}, statistics)

    def penalty(self, weights: Any, mask: Any, regularization: RegularizationConfig) -> Any | None:
        """Returns the doubly stochastic penalty, if the setting `attention_penalty` asks for it."""
        weight = getattr(regularization, "attention_penalty", 0.0)
        if not weight:
            return None
        options: dict[str, Any] = {"dtype": self.config.dtype, "acc_dtype": self.config.dtype}
        attended = T.sum(weights * mask.dimshuffle(0, "x", 1), axis=0, **options)  # (regions, batch)
        missing = T.square(np.ones((), self.config.dtype) - attended) * mask[0]
        total = sum_over_devices(T.sum(missing, **options)) / sum_over_devices(T.sum(mask, **options))
        return np.asarray(weight, self.config.dtype) * total
