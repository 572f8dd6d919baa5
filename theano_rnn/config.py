"""Settings: frozen dataclasses, every default of the package, and the one kind of error a user can mend.

A setting is a field; its metadata holds the sentence that `--help` prints and what is allowed. The command line, a
TOML file and a checkpoint all make the same objects, so a default, a range or a choice is written once, here.

>>> TextConfig(unit="char").unit
'char'
>>> TextConfig(unit="syllable")
Traceback (most recent call last):
theano_rnn.config.UserError: unit must be one of word, char, got 'syllable'
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar


class UserError(ValueError):
    """A mistake that the user can mend: the commands print it as one line and end with status 2."""


def setting(
    default: Any,
    help: str,
    *,
    kind: type = str,
    of: type = str,
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    metavar: str | None = None,
) -> Any:
    """A dataclass field that knows its own help text and limits; a tuple holds values `of` one kind."""
    metadata = {"help": help, "kind": kind, "of": of, "choices": choices, "at_least": at_least, "above": above,
                "below": below, "at_most": at_most, "metavar": metavar}  # fmt: skip
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Section:
    """Settings that belong together; values are checked when an object is made.

    Raises
    ------
    UserError
        A value is of the wrong kind or outside what the field allows; the message names field, limit and value.
    """

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            if item.metadata:
                check(item.name, getattr(self, item.name), item.metadata, optional=item.default is None)


def check(name: str, value: Any, rules: Mapping[str, Any], *, optional: bool) -> None:
    """Raise `UserError` unless `value` keeps the rules that `setting` recorded."""
    if value is None and optional:
        return
    kind = rules["kind"]
    if kind is tuple:
        if not isinstance(value, tuple) or not all(type(item) is rules["of"] for item in value):
            texts = "file names" if rules["metavar"] == "FILE" else "texts"
            expected = {str: texts, int: "whole numbers", float: "numbers"}[rules["of"]]
            raise UserError(f"{name} must be a list of {expected}, got {value!r}")
        return
    numeric = kind is float and isinstance(value, int) and not isinstance(value, bool)
    if not (isinstance(value, kind) or numeric) or (kind is int and isinstance(value, bool)):
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
        raise UserError(f"{name} must be {expected}, got {value!r}")
    if rules["choices"] and value not in rules["choices"]:
        raise UserError(f"{name} must be one of {', '.join(rules['choices'])}, got {value!r}")
    if kind is float and not math.isfinite(value):
        raise UserError(f"{name} must be a finite number, got {value!r}")
    if rules["at_least"] is not None and value < rules["at_least"]:
        raise UserError(f"{name} must be at least {rules['at_least']}, got {value}")
    if rules["above"] is not None and value <= rules["above"]:
        raise UserError(f"{name} must be greater than {rules['above']}, got {value}")
    if rules["below"] is not None and value >= rules["below"]:
        raise UserError(f"{name} must be less than {rules['below']}, got {value}")
    if rules["at_most"] is not None and value > rules["at_most"]:
        raise UserError(f"{name} must be at most {rules['at_most']}, got {value}")


@dataclass(frozen=True)
class TextConfig(Section):
    """How text becomes tokens; recorded in the vocabulary, so that a model splits text as its training did."""

    unit: str = setting("word", "what one token is", choices=("word", "char"))
    sentences: str = setting(
        "punkt",
        "where sentences end: NLTK's Punkt with our abbreviations, every line end, or your own punkt_tab resource",
        choices=("punkt", "line", "punkt_tab"),
    )
    tokens: str = setting(
        "nltk", "how a sentence becomes words: NLTKWordTokenizer, or blanks (text already tokenized)",
        choices=("nltk", "whitespace"),
    )  # fmt: skip
    lowercase: bool = setting(False, "turn tokens into lower case, after sentences are split", kind=bool)


@dataclass(frozen=True)
class CorpusConfig(Section):
    """Which files are read, how they are cut, and how many of their words the vocabulary keeps."""

    train: tuple[str, ...] = setting(
        (), "training text: UTF-8 .txt, .csv with a `body` column, either as .gz, - for standard input "
        "(default: data/austen)", kind=tuple, metavar="FILE",
    )  # fmt: skip
    valid: str | None = setting(None, "validation text (default: cut from each training file)", metavar="FILE")
    test: str | None = setting(None, "test text (default: cut from each training file)", metavar="FILE")
    valid_fraction: float = setting(
        0.05, "share of each training file's sentences cut for validation, before the test cut; unused with --valid",
        kind=float, at_least=0, below=1,
    )  # fmt: skip
    test_fraction: float = setting(
        0.05, "share of each training file's last sentences cut for the test; unused with --valid or --test",
        kind=float, at_least=0, below=1,
    )  # fmt: skip
    vocab_size: int = setting(
        10_000, "columns of the output layer at most: the commonest words, <unk> and </s>", kind=int, at_least=3
    )
    min_count: int = setting(1, "keep words that occur at least this often in the training text", kind=int, at_least=1)
    init_from: str | None = setting(
        None, "begin with this model, its network and its vocabulary, and train it on the new text", metavar="FILE"
    )
    add_words: int = setting(
        0, "with --init-from, the commonest words of the training text that the model does not know: add this many to "
        "its vocabulary", kind=int, at_least=0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.add_words and self.init_from is None:
            raise UserError("add_words needs --init-from")


@dataclass(frozen=True)
class ModelConfig(Section):
    """What the network is for, and its sizes."""

    task: str = setting(
        "next", "what is learned: the next token, or to fill in a missing word from those on both sides",
        choices=("next", "fill"),
    )  # fmt: skip
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


DEFAULT_LEARNING_RATE = {
    "sgd": 1.0, "asgd": 1.0, "nesterov": 0.1, "adagrad": 0.1, "rmsprop": 0.001, "adam": 0.003, "adamw": 0.003,
}  # fmt: skip


@dataclass(frozen=True)
class RegularizationConfig(Section):
    """What keeps a model from learning its training text by heart; works in training alone."""

    dropout: float = setting(
        0.0, "share of units dropped from inputs, between layers and from outputs", kind=float, at_least=0, below=1
    )
    input_dropout: float | None = setting(
        None, "share dropped from word vectors (default: --dropout)", kind=float, at_least=0, below=1
    )
    layer_dropout: float | None = setting(
        None, "share dropped between layers (default: --dropout)", kind=float, at_least=0, below=1
    )
    output_dropout: float | None = setting(
        None, "share dropped from the last layer's outputs (default: --dropout)", kind=float, at_least=0, below=1
    )
    variational: bool = setting(
        False, "drop the same units at all time steps of a window, not others at each", kind=bool
    )
    embedding_dropout: float = setting(
        0.0, "share of the vocabulary whose vectors are dropped whole", kind=float, at_least=0, below=1
    )
    recurrent_dropout: float = setting(
        0.0, "share of the connections W_hh dropped for a whole window (weight drop)", kind=float, at_least=0, below=1
    )
    activation_penalty: float = setting(
        0.0, "times the mean square of the outputs, added to the loss", kind=float, at_least=0
    )
    temporal_penalty: float = setting(
        0.0, "times the mean square of the outputs' change from step to step, added to the loss", kind=float, at_least=0
    )
    label_smoothing: float = setting(
        0.0, "share of the target's probability spread evenly over the vocabulary", kind=float, at_least=0, below=1
    )


def check_head(model: ModelConfig, regularization: RegularizationConfig, num_devices: int | None) -> None:
    """Raise `UserError` where the head cannot be trained so; the message begins with a setting's name."""
    if model.head == "adaptive" and regularization.label_smoothing:
        raise UserError("label_smoothing cannot be used with head adaptive, which never sees all words at once")
    if model.head == "adaptive" and num_devices != 1:
        raise UserError("num_devices must be 1 with head adaptive, whose rows are not divided among devices")


@dataclass(frozen=True)
class TrainingConfig(RegularizationConfig):
    """What decides the trained parameters besides text and network; stored in the checkpoint."""

    dropout: float = field(default=0.4, metadata=RegularizationConfig.__dataclass_fields__["dropout"].metadata)
    batching: str = setting(
        "stream", "one long text with carried state, or sentences each from a zero state",
        choices=("stream", "sentences"),
    )  # fmt: skip
    batch_size: int = setting(20, "parallel columns of text, or sentences, in one step", kind=int, at_least=1)
    bptt_steps: int = setting(35, "time steps of one window of the stream", kind=int, at_least=1)
    random_windows: bool = setting(
        False, "cut the stream into windows of random lengths around --bptt-steps, the rate in proportion", kind=bool
    )
    optimizer: str = setting(
        "adam", "how gradients change parameters; asgd: sgd, and averages once validation loss no longer falls",
        choices=("sgd", "nesterov", "asgd", "adagrad", "rmsprop", "adam", "adamw"),
    )  # fmt: skip
    learning_rate: float | None = setting(
        None, "base learning rate (default: 0.003 for adam and adamw, 0.001 for rmsprop, 0.1 for nesterov and adagrad, "
        "1 for sgd and asgd)", kind=float, above=0,
    )  # fmt: skip
    schedule: str = setting(
        "linear", "what becomes of the learning rate: halved when validation loss rises (plateau), or a function of "
        "the step", choices=("plateau", "constant", "steps", "linear", "cosine", "one_cycle"),
    )  # fmt: skip
    schedule_steps: int | None = setting(
        None, "updates that --schedule is spread over (default: those of all epochs)", kind=int, at_least=1
    )
    warmup: float | None = setting(
        None, "share of these updates in which the rate rises (default: 0.3 for one_cycle, else 0)",
        kind=float, at_least=0, below=1,
    )  # fmt: skip
    clip_norm: float = setting(0.25, "scale gradients down to this global L2 norm; 0 for never", kind=float, at_least=0)
    clip_value: float = setting(0.0, "cut every number of a gradient at this size; 0 for never", kind=float, at_least=0)
    weight_decay: float | None = setting(
        None, "times each parameter, added to its gradient, or for adamw taken off it with the learning rate (default: "
        "0.01 for adamw, else 0)", kind=float, at_least=0,
    )  # fmt: skip
    average_decay: float = setting(
        0.0, "validate and keep an exponential average of the parameters, of which each step keeps this share; 0 for "
        "none", kind=float, at_least=0, below=1,
    )  # fmt: skip
    epochs: int = setting(12, "passes over the training text", kind=int, at_least=1)
    patience: int | None = setting(
        None, "stop after this many epochs without a better validation loss", kind=int, at_least=1
    )
    seed: int = setting(1, "of initial parameters, the order of sentences and samples", kind=int, at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", DEFAULT_LEARNING_RATE[self.optimizer])
        if self.weight_decay is None:
            object.__setattr__(self, "weight_decay", 0.01 if self.optimizer == "adamw" else 0.0)
        if self.warmup is None:
            object.__setattr__(self, "warmup", 0.3 if self.schedule == "one_cycle" else 0.0)
        if self.average_decay and self.optimizer == "asgd":
            raise UserError("average_decay cannot be used with optimizer asgd, which has an average of its own")


def resolved_head(model: ModelConfig, training: TrainingConfig | None = None, num_devices: int = 1) -> ModelConfig:
    """`model` with the head that ``auto`` stands for, and the cutoffs that are its default.

    Sentences have so many shapes already that those of an adaptive head would take minutes to compile.
    """
    if model.head == "auto":
        is_large = model.vocab_size >= ADAPTIVE_FROM
        can_be = training is None or (training.batching == "stream" and not training.label_smoothing)
        head = "adaptive" if is_large and can_be and num_devices == 1 else "softmax"
        model = dataclasses.replace(model, head=head)
    if model.head == "adaptive" and not model.cutoffs:
        model = dataclasses.replace(model, cutoffs=default_cutoffs(model.vocab_size))
    return model


@dataclass(frozen=True)
class RunConfig(Section):
    """How a run is carried out; changes nothing in what is learned, so it is not stored and may differ on --resume."""

    checkpoint: str = setting("runs/model.safetensors", "where the model is kept", metavar="FILE")
    log: str | None = setting(None, "log of JSON lines (default: beside the checkpoint, .jsonl)", metavar="FILE")
    resume: bool = setting(False, "go on from the checkpoint as if never interrupted", kind=bool)
    max_seconds: float | None = setting(
        None, "stop after this many seconds of training; tokenizing and evaluating are not counted, but what XLA "
        "compiles on the way is",
        kind=float, above=0,
    )  # fmt: skip
    curves: bool = setting(
        True,
        "draw the learning curves beside the checkpoint, NAME.curves.png, where matplotlib is installed",
        kind=bool,
    )
    tensorboard: str | None = setting(
        None, "write event files for TensorBoard there, each run in a folder of its checkpoint's name: loss, "
        "perplexity, learning rate, norms of gradients and parameters", metavar="FOLDER",
    )  # fmt: skip


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


@dataclass(frozen=True)
class MachineConfig(Section):
    """What does the work; changes at most the last digits of what is learned, so it is not stored."""

    threads: int | None = setting(
        None, "threads of matrix products (default: one for each core, at most 8)", kind=int, at_least=1
    )
    engine: str = setting(
        "auto", "what runs the model: Aesara's C code, or XLA by JAX; auto: jax where it is installed",
        choices=("auto", "c", "jax"),
    )  # fmt: skip
    device: str = setting("auto", "where engine jax runs; auto: a GPU if it sees one", choices=("auto", "cpu", "gpu"))


@dataclass(frozen=True)
class TrainingMachineConfig(MachineConfig):
    """What does the work of training, which several devices and processes can share."""

    num_devices: str = setting("1", "devices that have a part of each batch each; auto: all there are", metavar="N")
    coordinator: str | None = setting(
        None, "where process 0 waits for the other processes that train with it", metavar="HOST:PORT"
    )
    num_processes: int | None = setting(None, "how many processes train together", kind=int, at_least=1)
    process_id: int | None = setting(
        None, "which of them this one is; 0 writes the checkpoint and the log", kind=int, at_least=0
    )


S = TypeVar("S", bound=Section)


def from_mapping(section: type[S], values: Mapping[str, Any]) -> S:
    """The section made of those of `values` that it knows; lists, as TOML and JSON have them, become tuples."""
    names = {item.name for item in dataclasses.fields(section)}
    return section(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names})


FORMER_DEFAULTS: dict[type[Section], dict[str, Any]] = {
    ModelConfig: {"tie_weights": False, "head": "softmax"},
    TrainingConfig: {"dropout": 0.0, "schedule": "plateau"},
}


def from_checkpoint(section: type[S], values: Mapping[str, Any]) -> S:
    """As `from_mapping`, of a checkpoint: what it does not name is as it was before there was a choice."""
    return from_mapping(section, FORMER_DEFAULTS.get(section, {}) | dict(values))


def to_mapping(section: Section) -> dict[str, Any]:
    """Plain values by field name, ready for JSON."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(section).items()}
