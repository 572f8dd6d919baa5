"""Settings of image descriptions: which pictures have which captions, training, and how captions are searched."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, UserError, setting
from theano_rnn.settings.text import CorpusConfig
from theano_rnn.settings.training import TrainingConfig

DEFAULT_IMAGE_SIZE = 64  # pixels
MAX_IMAGE_SIZE = 1 << 12


@dataclass(frozen=True)
class CaptionedImagesConfig(CorpusConfig):
    """Which pictures are read, and their captions."""

    images: str | None = setting(
        None, "folder of the pictures that the captions name (default: the folder of the captions)", metavar="DIR"
    )
    image_features: str | None = setting(
        None, "train on ready-made features instead of pictures: a .safetensors file with an array (regions, channels) "
        "for the name of each picture", metavar="FILE",
    )  # fmt: skip
    image_size: tuple[int, ...] = setting(
        (), "size that pictures are stretched to, in pixels: one number, or height and width. Larger ones need more "
        "--channels and more time (default: 64)", kind=tuple, of=int, metavar="N",
    )  # fmt: skip
    max_caption_tokens: int = setting(
        60, "leave out training captions of more than this many tokens", kind=int, at_least=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.image_size:
            object.__setattr__(self, "image_size", (DEFAULT_IMAGE_SIZE,))
        if not 1 <= len(self.image_size) <= 2 or not all(8 <= size <= MAX_IMAGE_SIZE for size in self.image_size):
            given = " ".join(map(str, self.image_size))
            raise UserError(f"image_size must be one or two numbers from 8 to {MAX_IMAGE_SIZE:,}, got {given}")
        if self.image_features is not None and self.images is not None:
            raise UserError("images cannot be used with --image-features, which takes their place: leave one out")


@dataclass(frozen=True)
class DescriptionTrainingConfig(TrainingConfig):
    """Settings of training a captioner."""

    image_shift: int = setting(
        0, "move each training picture by a random number of pixels, up to this many, across and down, each time that "
        "it is used, so that the network sees more different pictures; 0: never", kind=int, at_least=0,
    )  # fmt: skip
    attention_penalty: float = setting(
        0.0, "doubly stochastic attention: weight of a penalty for looking at some regions more than at others over a "
        "whole caption (Xu et al. 2015 use 1); 0: none", kind=float, at_least=0,
    )  # fmt: skip


@dataclass(frozen=True)
class CaptionSearchConfig(Section):
    """How captions are searched."""

    beam_size: int = setting(
        3, "number of hypotheses in the beam search; 1: always take the likeliest next word", kind=int, at_least=1
    )
    nbest: int = setting(1, "number of captions of each picture, the best first", kind=int, at_least=1)
    length_power: float = setting(
        1.0, "rank captions by log-probability divided by length to this power: 0 favors short ones, 1 ranks by the "
        "mean per token", kind=float, at_least=0,
    )  # fmt: skip
    no_repeat_ngram_size: int = setting(
        0, "never repeat a sequence of this many tokens; 0: no such rule", kind=int, at_least=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nbest > self.beam_size:
            raise UserError(f"nbest must be at most beam_size, {self.beam_size}, got {self.nbest}: raise --beam-size")
