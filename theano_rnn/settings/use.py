"""Settings of a trained model at work: generating, scoring, rescoring, adapting to a text."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, UserError, setting


@dataclass(frozen=True)
class GenerationConfig(Section):
    """How the next token is chosen, and when a text ends."""

    temperature: float = setting(
        1.0, "below 1 likelier, above 1 bolder text; 0 takes the likeliest token each time", kind=float, at_least=0
    )
    top_k: int | None = setting(None, "draw from this many likeliest tokens alone", kind=int, at_least=1)
    top_p: float = setting(
        1.0, "draw from the fewest likeliest tokens that together have this probability (nucleus sampling), of those "
        "that --top-k leaves", kind=float, above=0, at_most=1,
    )  # fmt: skip
    min_tokens: int = setting(0, "the fewest tokens of a text", kind=int, at_least=0)
    max_tokens: int | None = setting(
        None, "the most tokens of a text (default: 60 words or 300 characters)", kind=int, at_least=0
    )
    repetition_penalty: float = setting(
        1.0, "raise the probability of tokens that were there before to this power: above 1 makes them rarer",
        kind=float, at_least=1,
    )  # fmt: skip
    no_repeat_ngram_size: int = setting(
        0, "never write this many tokens in a row a second time; 0 for no such rule", kind=int, at_least=0
    )
    stop: tuple[str, ...] = setting((), "end a text before any of these", kind=tuple, metavar="TEXT")
    allow_unknown: bool = setting(False, "let <unk> be written too", kind=bool)
    beam_size: int = setting(
        0, "search for the likeliest texts, following this many at a time, instead of drawing; 0 to draw",
        kind=int, at_least=0,
    )  # fmt: skip
    length_penalty: float = setting(
        0.0, "rank the texts of a beam by log-probability over tokens to this power: 0 favours short ones, 1 is the "
        "mean", kind=float, at_least=0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(not text for text in self.stop):
            raise UserError("stop must not be empty")
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise UserError(f"min_tokens must be at most {self.max_tokens}, the most tokens, got {self.min_tokens}")
        for name, needed in (("temperature", 1.0), ("top_k", None), ("top_p", 1.0), ("stop", ())):
            if self.beam_size and getattr(self, name) != needed:
                raise UserError(f"beam_size cannot be used with --{name.replace('_', '-')}")


@dataclass(frozen=True)
class MixtureConfig(Section):
    """Other models whose probabilities are added to a model's."""

    interpolate: tuple[str, ...] = setting(
        (), "checkpoints to mix with the first: probabilities are added with the weights", kind=tuple, metavar="FILE"
    )
    weights: tuple[float, ...] = setting(
        (), "of the mixture, one for each checkpoint, the first one's first; their sum is 1", kind=tuple, of=float,
        metavar="X",
    )  # fmt: skip
    fit_weights: str | None = setting(
        None, "find the weights that give this text its highest probability, in place of --weights", metavar="FILE"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.interpolate and (self.weights or self.fit_weights):
            raise UserError(f"{'weights' if self.weights else 'fit_weights'} needs --interpolate")
        if self.interpolate and bool(self.weights) == bool(self.fit_weights):
            raise UserError("interpolate needs either --weights or --fit-weights")
        if self.weights and not (min(self.weights) > 0 and abs(sum(self.weights) - 1) < 1e-6):
            raise UserError(f"weights must be positive and have the sum 1, got {' '.join(map(str, self.weights))}")


@dataclass(frozen=True)
class ScoringConfig(MixtureConfig):
    """What is measured of a text, and in which unit."""

    sentences: str | None = setting(
        None, "where sentences end (default: as in training); line: every line is one",
        choices=("punkt", "line", "punkt_tab"),
    )  # fmt: skip
    log_base: str = setting("e", "of logarithms: e for nats, 2 for bits", choices=("e", "2"))
    exclude_unknown: bool = setting(False, "leave words that the vocabulary does not know out of all sums", kind=bool)


@dataclass(frozen=True)
class RescoringConfig(MixtureConfig):
    """How hypotheses are ranked."""

    weight: float = setting(1.0, "of the model's log-probability", kind=float, at_least=0)
    word_bonus: float = setting(0.0, "added for each word, else short hypotheses are preferred", kind=float)
    tune: str | None = setting(
        None, "lists with known answers: find --weight and --word-bonus with the fewest errors on them", metavar="FILE"
    )
    references: str | None = setting(None, "the right answer to each list of --tune, one a line", metavar="FILE")
    metric: str = setting(
        "wer", "what --tune counts: word errors, or lists whose first is not the reference", choices=("wer", "exact")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.tune is None) != (self.references is None):
            raise UserError("tune and --references are needed together")


@dataclass(frozen=True)
class AdaptationConfig(Section):
    """Models that adapt to the text they are measured on."""

    cache_size: int = setting(
        0, "remember this many tokens and the states before them, and make words likelier that followed a similar one "
        "(neural cache); 0 for none", kind=int, at_least=0,
    )  # fmt: skip
    cache_theta: float = setting(0.7, "how much more similar states count", kind=float, at_least=0)
    cache_weight: float = setting(0.15, "the cache's share of the probability", kind=float, at_least=0, below=1)
    dynamic: str = setting(
        "no", "go on training on the text, each token measured before (dynamic evaluation): by gradient descent, or "
        "with steps scaled by the gradients' root mean squares", choices=("no", "sgd", "rms"),
    )  # fmt: skip
    statistics_from: str | None = setting(None, "text like that of the training, for --dynamic rms", metavar="FILE")
    dynamic_steps: int = setting(5, "tokens between two updates", kind=int, at_least=1)
    dynamic_rate: float | None = setting(
        None, "learning rate of --dynamic (default: 0.2 for sgd, 0.002 for rms)", kind=float, above=0
    )
    dynamic_decay: float = setting(
        0.003, "share of the way back to the trained parameters that each update goes", kind=float, at_least=0, below=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cache_size and self.dynamic != "no":
            raise UserError("cache_size cannot be used with --dynamic")
        if (self.dynamic == "rms") != (self.statistics_from is not None):
            raise UserError("statistics_from is needed with --dynamic rms, and with it alone")
        if self.dynamic_rate is None:
            object.__setattr__(self, "dynamic_rate", 0.2 if self.dynamic != "rms" else 0.002)

    @property
    def is_adaptive(self) -> bool:
        """Whether the model changes with the text."""
        return bool(self.cache_size) or self.dynamic != "no"
