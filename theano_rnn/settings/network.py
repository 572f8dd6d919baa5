"""Settings of the networks: recurrent cell, sizes, and output layer or pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from theano_rnn.settings.base import Section, UserError, setting, with_default


@dataclass(frozen=True)
class RecurrentConfig(Section):
    """The recurrent layers of a network, and the word vectors that they read."""

    cell: str = setting(
        "lstm",
        "recurrent cell. tanh, relu: vanilla RNN with this activation; lstm: LSTM; gru: GRU; mogrifier: LSTM with "
        "gated inputs",
        choices=("tanh", "relu", "lstm", "gru", "mogrifier"),
    )
    embedding_size: int = setting(200, "size of a word vector", kind=int, at_least=1)
    hidden_size: int = setting(200, "hidden units in each recurrent layer, and of each direction", kind=int, at_least=1)
    num_layers: int = setting(
        1, "number of recurrent layers; each one reads the outputs of the layer below", kind=int, at_least=1
    )
    residual: bool = setting(
        False, "residual connections: add each layer's input to its output, from the second layer up", kind=bool
    )
    recurrent_init: str = setting(
        "uniform",
        "initialization of W_hh. uniform: in +-1/sqrt(hidden_size); orthogonal: a random orthogonal matrix",
        choices=("uniform", "orthogonal"),
    )


@dataclass(frozen=True)
class ModelConfig(RecurrentConfig):
    """The network: its cells, sizes and output layer."""

    tie_weights: bool = setting(
        True,
        "use the embedding matrix in the output layer too (weight tying), after a projection if the sizes differ",
        kind=bool,
    )
    head: str = setting(
        "auto",
        "output layer. softmax: over the whole vocabulary; adaptive: over frequent words and clusters of rare ones, "
        "which is faster for large vocabularies; auto: adaptive for 5,000 words or more, but softmax with --batching "
        "sentences, --label-smoothing or several devices",
        choices=("auto", "softmax", "adaptive"),
    )
    cutoffs: tuple[int, ...] = setting(
        (),
        "ranks at which the clusters of --head adaptive begin, counted from the most frequent word (default: 1/10 and "
        "2/5 of the vocabulary, less if it is very large)",
        kind=tuple,
        of=int,
        metavar="N",
    )
    vocab_size: int = 10_000  # of the vocabulary that was built
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_dtype(self.dtype)
        if self.head != "adaptive":
            if self.cutoffs:
                raise UserError("cutoffs needs head adaptive: add --head adaptive, or leave out --cutoffs")
            return
        if self.vocab_size < 2:
            raise UserError(
                f"head adaptive needs a vocabulary of at least 2 words, got {self.vocab_size}: use --head softmax"
            )
        if any(b <= a for a, b in zip((0, *self.cutoffs), (*self.cutoffs, self.vocab_size))):
            given = " ".join(map(str, self.cutoffs))
            raise UserError(f"cutoffs must increase and be from 1 to {self.vocab_size - 1}, got {given}")


@dataclass(frozen=True)
class ClassifierConfig(RecurrentConfig):
    """The network of a classifier: its cells, sizes, directions, and how it sums up a text."""

    embedding_size: int = with_default(RecurrentConfig, "embedding_size", 100)
    hidden_size: int = with_default(RecurrentConfig, "hidden_size", 100)
    bidirectional: bool = setting(
        True, "read the text in both directions; both layers of a level read both outputs of the level below",
        kind=bool,
    )  # fmt: skip
    pooling: str = setting(
        "attention",
        "how the outputs of all time steps become one vector. final: the output after the last token (of the backward "
        "direction: after the first); mean, max: of each unit over all time steps; attention: a weighted mean whose "
        "weights are learned",
        choices=("final", "mean", "max", "attention"),
    )
    vocab_size: int = 10_000  # of the vocabulary that was built
    num_labels: int = 2  # found in the training part
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_dtype(self.dtype)
        if self.bidirectional and self.residual:
            raise UserError("residual cannot be used with --bidirectional: add --no-bidirectional")


@dataclass(frozen=True)
class AttendingConfig(RecurrentConfig):
    """A network with a decoder that attends: its cells, sizes and attention. `task` is the task that it is for."""

    task: ClassVar[str] = "translate"
    attention: str = setting(
        "additive",
        "how the decoder scores the positions of the source. additive: by a small network (Bahdanau et al. 2015); "
        "multiplicative: by a product, which is faster (Luong et al. 2015)",
        choices=("additive", "multiplicative"),
    )
    tie_weights: bool = setting(
        True, "use the embedding matrix of the target language in the output layer too (weight tying)", kind=bool
    )
    vocab_size: int = 10_000  # of the vocabulary that was built
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_dtype(self.dtype)
        if self.residual:
            raise UserError(f"residual cannot be used with --task {self.task}: leave it out")
        if self.cell == "mogrifier":
            raise UserError(f"cell mogrifier cannot be used with --task {self.task}: use another one")


@dataclass(frozen=True)
class TranslationConfig(AttendingConfig):
    """The network of a translator: its cells, sizes and attention."""

    embedding_size: int = with_default(RecurrentConfig, "embedding_size", 128)
    hidden_size: int = with_default(RecurrentConfig, "hidden_size", 192)
    shared_embedding: bool = setting(False, "one vocabulary and one embedding for both languages", kind=bool)
    source_vocab_size: int = 10_000


DEFAULT_CHANNELS = (16, 32, 64, 64)
MAX_CHANNELS = 1 << 14


@dataclass(frozen=True)
class DescriptionConfig(AttendingConfig):
    """The network of a captioner: the convolutions that see a picture, and the decoder that writes about it."""

    task: ClassVar[str] = "describe"

    embedding_size: int = with_default(RecurrentConfig, "embedding_size", 64)
    hidden_size: int = with_default(RecurrentConfig, "hidden_size", 128)
    channels: tuple[int, ...] = setting(
        (),
        "number of channels of each 3x3 convolution, the first one first. Each halves the width and height of the "
        "picture, but the last: four make 8 x 8 regions of a picture of 64 x 64. With ready-made features, the last "
        "number is the size that they are projected to (default: 16 32 64 64)",
        kind=tuple,
        of=int,
        metavar="N",
    )
    height: int = 64  # of the pictures, in pixels
    width: int = 64
    feature_size: int = 0  # of ready-made features; 0: the network sees pictures
    num_regions: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.channels:
            object.__setattr__(self, "channels", DEFAULT_CHANNELS)
        if not all(1 <= number <= MAX_CHANNELS for number in self.channels):
            given = " ".join(map(str, self.channels))
            raise UserError(f"channels must be numbers from 1 to {MAX_CHANNELS:,}, got {given}")


@dataclass(frozen=True)
class RecognitionConfig(Section):
    """The network of a recognizer: its cells, sizes and directions."""

    cell: str = with_default(RecurrentConfig, "cell", "lstm")
    hidden_size: int = with_default(RecurrentConfig, "hidden_size", 128)
    num_layers: int = with_default(RecurrentConfig, "num_layers", 2)
    recurrent_init: str = with_default(RecurrentConfig, "recurrent_init", "uniform")
    bidirectional: bool = setting(
        True, "read each recording in both directions, which needs its end; with --no-bidirectional, a recording can "
        "be recognized while it is still arriving, with more errors", kind=bool,
    )  # fmt: skip
    num_inputs: int = 120  # of a time step: the features of the stacked frames
    num_labels: int = 40  # without the blank
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_dtype(self.dtype)


def check_dtype(dtype: str) -> None:
    """Raises `UserError` if a network cannot have this dtype."""
    if dtype not in ("float32", "float64"):
        raise UserError(f"dtype must be float32 or float64, got {dtype!r}")


MIN_ADAPTIVE_VOCAB_SIZE = 5_000  # from here up, head auto means adaptive


def default_cutoffs(vocab_size: int) -> tuple[int, ...]:
    """Returns the ranks at which the clusters of an adaptive head begin.

    They are 1/10 and 2/5 of the vocabulary, but at most 2,000 and 10,000; with more than 100,000 words, 1/50 and 1/10.
    With 100,000 words (benchmarks/adaptive.py), a step was up to 9 % faster with 1,000 or 4,000 instead of 2,000 and
    20,000 instead of 10,000; but with 4,000 and 20,000, the loss after equal training time was higher.

    >>> default_cutoffs(10_000), default_cutoffs(100_000), default_cutoffs(2)
    ((1000, 4000), (2000, 10000), (1,))
    """
    first = max(min(vocab_size // 10, 2_000), vocab_size // 50, 1)
    second = max(min(2 * vocab_size // 5, 10_000), vocab_size // 10)
    return (first, second) if second > first else (first,)
