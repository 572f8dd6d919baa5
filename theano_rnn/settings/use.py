"""Settings for using a trained model: generation, scoring, rescoring and adaptation to a text."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, UserError, setting
from theano_rnn.settings.text import COLUMN_HELP

LOWEST_TEMPERATURE = 0.001


def effective_temperature(temperature: float) -> float:
    """Returns the temperature, or 0 if it is below `LOWEST_TEMPERATURE`, for which float32 is not precise enough."""
    return temperature if temperature >= LOWEST_TEMPERATURE else 0.0


@dataclass(frozen=True)
class GenerationConfig(Section):
    """How the next token is chosen, and when a generated text ends."""

    temperature: float = setting(
        1.0,
        "sampling temperature: below 1 favors likely tokens, above 1 unlikely ones; 0, or "
        "less than 0.001, always takes the likeliest token",
        kind=float,
        at_least=0,
    )
    top_k: int | None = setting(None, "top-k sampling: draw from the k likeliest tokens only", kind=int, at_least=1)
    top_p: float = setting(
        1.0, "nucleus sampling: draw from the smallest set of likeliest tokens with at least this total probability, "
        "after --top-k", kind=float, above=0, at_most=1,
    )  # fmt: skip
    min_tokens: int = setting(0, "minimum number of tokens in a text", kind=int, at_least=0)
    num_sentences: int | None = setting(
        None, "end a text after this many sentences, or lines if the model was trained with --sentences line "
        "(default: at the end of a paragraph)",
        kind=int, at_least=1,
    )  # fmt: skip
    length: int | None = setting(
        None, "write exactly this many tokens, over as many sentences and paragraphs as it takes", kind=int, at_least=1
    )
    max_tokens: int | None = setting(
        None, "maximum number of tokens in a text (default: 300, or 60 for each of --num-sentences)", kind=int,
        at_least=0,
    )  # fmt: skip
    repetition_penalty: float = setting(
        1.0, "raise the probability of tokens that already occurred to this power; above 1 makes repetition rarer",
        kind=float, at_least=1,
    )  # fmt: skip
    no_repeat_ngram_size: int = setting(
        0, "never repeat a sequence of this many tokens; 0: no such rule", kind=int, at_least=0
    )
    stop: tuple[str, ...] = setting((), "end a text before any of these strings", kind=tuple, metavar="TEXT")
    allow_unknown: bool = setting(False, "allow <unk>, the token for unknown words, in generated text", kind=bool)
    beam_size: int = setting(
        0, "beam search for the likeliest texts with this many hypotheses; 0: draw samples instead",
        kind=int, at_least=0,
    )  # fmt: skip
    length_penalty: float = setting(
        0.0, "rank the texts of a beam search by log-probability divided by length to this power: 0 favors short "
        "texts, 1 ranks by the mean per token", kind=float, at_least=0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(not text for text in self.stop):
            raise UserError("stop must not be empty: give the text to stop at, or leave out --stop")
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise UserError(f"min_tokens must be at most --max-tokens {self.max_tokens}, got {self.min_tokens}")
        if self.length is not None:
            for name in ("num_sentences", "max_tokens", "min_tokens"):
                if getattr(self, name):
                    raise UserError(f"length cannot be used with --{name.replace('_', '-')}: leave one of them out")
        for name, needed in (("temperature", 1.0), ("top_k", None), ("top_p", 1.0), ("stop", ()), ("length", None),
                             ("num_sentences", None)):  # fmt: skip
            if self.beam_size and getattr(self, name) != needed:
                raise UserError(f"beam_size cannot be used with --{name.replace('_', '-')}: leave one of them out")


@dataclass(frozen=True)
class MixtureConfig(Section):
    """Linear interpolation with other models."""

    interpolate: tuple[str, ...] = setting(
        (),
        "checkpoints of other models to interpolate with: the result is the weighted sum of all probabilities",
        kind=tuple,
        metavar="FILE",
    )
    weights: tuple[float, ...] = setting(
        (), "interpolation weights, one per checkpoint, that of the main checkpoint first; they must sum to 1",
        kind=tuple, of=float,
        metavar="X",
    )  # fmt: skip
    fit_weights: str | None = setting(
        None, "instead of --weights, find the weights that maximize the probability of this text", metavar="FILE"
    )
    column: str | None = setting(None, COLUMN_HELP, metavar="NAME")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.interpolate and (self.weights or self.fit_weights):
            raise UserError(
                f"{'weights' if self.weights else 'fit_weights'} needs --interpolate: name the other checkpoints"
            )
        if self.interpolate and bool(self.weights) == bool(self.fit_weights):
            raise UserError("interpolate needs either --weights or --fit-weights: give one of them")
        if self.weights and not (min(self.weights) > 0 and abs(sum(self.weights) - 1) < 1e-6):
            raise UserError(f"weights must be positive and sum to 1, got {' '.join(map(str, self.weights))}")


@dataclass(frozen=True)
class ScoringConfig(MixtureConfig):
    """Which tokens and sentences are scored, and the unit of the scores."""

    sentences: str | None = setting(
        None, "where sentences end (default: as in training); line: each line is one sentence",
        choices=("punkt", "line", "punkt_tab"),
    )  # fmt: skip
    log_base: str = setting("e", "base of logarithms. e: nats; 2: bits", choices=("e", "2"))
    exclude_unknown: bool = setting(False, "exclude words that are not in the vocabulary from all sums", kind=bool)
    columns: int | None = setting(
        None, "with --stream: cut the text into this many parts, which are scored in parallel; each part starts "
        "without context (default: the --batch-size of the training, or fewer, so that each part has at least "
        "2,000 tokens)", kind=int, at_least=1,
    )  # fmt: skip


@dataclass(frozen=True)
class RescoringConfig(MixtureConfig):
    """How hypotheses are ranked."""

    weight: float = setting(1.0, "weight of the model's log-probability in the total score", kind=float, at_least=0)
    word_bonus: float = setting(
        0.0, "score added for each word, because the log-probability favors short hypotheses", kind=float
    )
    tune: str | None = setting(
        None,
        "n-best lists with known answers: find the --weight and --word-bonus that are best on them",
        metavar="FILE",
    )
    references: str | None = setting(None, "the correct answer for each list of --tune, one per line", metavar="FILE")
    metric: str = setting(
        "wer",
        "what --tune makes best. wer: word errors; exact: lists whose best hypothesis is not the reference; "
        "bleu: BLEU of translations",
        choices=("wer", "exact", "bleu"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.tune is None) != (self.references is None):
            raise UserError("tune and --references must be given together: add the missing one")


@dataclass(frozen=True)
class AdaptationConfig(Section):
    """Adaptation of a model to the text that it scores."""

    cache_size: int = setting(
        0, "neural cache: store this many recent tokens with their hidden states, and raise the probability of words "
        "that followed a similar state; 0: no cache", kind=int, at_least=0,
    )  # fmt: skip
    cache_theta: float = setting(
        0.7, "how strongly the neural cache prefers more similar states", kind=float, at_least=0
    )
    cache_weight: float = setting(0.15, "interpolation weight of the neural cache", kind=float, at_least=0, below=1)
    dynamic: str = setting(
        "no",
        "dynamic evaluation: keep training on the text, on each token after it is scored. sgd: by gradient descent; "
        "rms: with updates scaled by the root mean square of the gradients", choices=("no", "sgd", "rms"),
    )  # fmt: skip
    statistics_from: str | None = setting(
        None, "text similar to the training text, for the gradient statistics of --dynamic rms", metavar="FILE"
    )
    dynamic_steps: int = setting(5, "tokens between two updates of --dynamic", kind=int, at_least=1)
    dynamic_rate: float | None = setting(
        None, "learning rate of --dynamic (default: 0.2 for sgd, 0.002 for rms)", kind=float, above=0
    )
    dynamic_decay: float = setting(
        0.003,
        "fraction by which each update of --dynamic moves the parameters back towards the trained ones",
        kind=float,
        at_least=0,
        below=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cache_size and self.dynamic != "no":
            raise UserError("cache_size cannot be used with --dynamic: leave one of them out")
        if (self.dynamic == "rms") != (self.statistics_from is not None):
            raise UserError("statistics_from is needed with --dynamic rms, and only with it: add both or neither")
        if self.dynamic_rate is None:
            object.__setattr__(self, "dynamic_rate", 0.2 if self.dynamic != "rms" else 0.002)

    @property
    def is_adaptive(self) -> bool:
        """Returns whether the model changes while it scores a text."""
        return bool(self.cache_size) or self.dynamic != "no"
