"""Settings of the network: its cells, sizes and output layer."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, UserError, setting


@dataclass(frozen=True)
class ModelConfig(Section):
    """The network: its cells, sizes and output layer."""

    cell: str = setting(
        "lstm",
        "a recurrent layer's kind: vanilla with tanh or relu, LSTM, GRU, or LSTM with gated inputs",
        choices=("tanh", "relu", "lstm", "gru", "mogrifier"),
    )
    embedding_size: int = setting(200, "numbers in one word's vector", kind=int, at_least=1)
    hidden_size: int = setting(200, "units of a recurrent layer", kind=int, at_least=1)
    num_layers: int = setting(1, "recurrent layers, each reading the outputs of the one below", kind=int, at_least=1)
    residual: bool = setting(False, "add to each layer's output its input, from the second layer on", kind=bool)
    recurrent_init: str = setting(
        "uniform", "how W_hh starts: uniform in +-1/sqrt(hidden_size), or orthogonal", choices=("uniform", "orthogonal")
    )
    tie_weights: bool = setting(
        True, "use the embedding as the output layer's matrix too, after a projection where sizes differ", kind=bool
    )
    head: str = setting(
        "auto",
        "output layer: a soft-max of all words, or, faster for large vocabularies, of the commonest and of clusters "
        "of the others; auto: adaptive from 5,000 words on, for a stream on one device without label smoothing",
        choices=("auto", "softmax", "adaptive"),
    )
    cutoffs: tuple[int, ...] = setting(
        (),
        "where the clusters of --head adaptive begin, in words from the commonest (default: 1/10 and 2/5 of "
        "all; of very many fewer)",
        kind=tuple,
        of=int,
        metavar="N",
    )
    vocab_size: int = 10_000  # columns of the output, as the vocabulary counted them
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head != "adaptive":
            if self.cutoffs:
                raise UserError("cutoffs needs head adaptive")
            return
        if self.vocab_size < 2:
            raise UserError(f"head adaptive needs a vocabulary of at least 2 columns, got {self.vocab_size}")
        if any(b <= a for a, b in zip((0, *self.cutoffs), (*self.cutoffs, self.vocab_size))):
            given = " ".join(map(str, self.cutoffs))
            raise UserError(f"cutoffs must increase, from 1 to {self.vocab_size - 1} at most, got {given}")


ADAPTIVE_FROM = 5_000  # words


def default_cutoffs(vocab_size: int) -> tuple[int, ...]:
    """Where the clusters of an adaptive head begin: after 1/10 and 2/5 of the words, at most 2,000 and 10,000.

    Of 100,000 words (benchmarks/adaptive.py), steps with 1,000 or 4,000 in place of 2,000 and 20,000 in place of 10,000
    were up to 9 % faster; with 4,000 and 20,000 the loss after equal seconds of training was higher. Of more words it
    is a fiftieth and a tenth.

    >>> default_cutoffs(10_000), default_cutoffs(100_000), default_cutoffs(2)
    ((1000, 4000), (2000, 10000), (1,))
    """
    first = max(min(vocab_size // 10, 2_000), vocab_size // 50, 1)
    second = max(min(2 * vocab_size // 5, 10_000), vocab_size // 10)
    return (first, second) if second > first else (first,)
