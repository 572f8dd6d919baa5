"""Settings of training: regularization, batches, optimizer, learning rate, and how one run is carried out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from theano_rnn.settings.base import Section, UserError, from_mapping, setting
from theano_rnn.settings.network import ADAPTIVE_FROM, ModelConfig, default_cutoffs

S = TypeVar("S", bound=Section)
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
    select: str | None = setting(
        None,
        "the validation measure that decides which epoch's parameters are kept as the best (default: loss)",
        metavar="MEASURE",
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


FORMER_DEFAULTS: dict[type[Section], dict[str, Any]] = {
    ModelConfig: {"tie_weights": False, "head": "softmax"},
    TrainingConfig: {"dropout": 0.0, "schedule": "plateau"},
}


def from_checkpoint(section: type[S], values: Mapping[str, Any]) -> S:
    """As `from_mapping`, of a checkpoint: what it does not name is as it was before there was a choice."""
    return from_mapping(section, FORMER_DEFAULTS.get(section, {}) | dict(values))
