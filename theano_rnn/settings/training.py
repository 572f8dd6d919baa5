"""Settings of training: regularization, batches, optimizer, learning rate, and the files of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from theano_rnn.settings.base import Section, UserError, from_mapping, setting, with_default
from theano_rnn.settings.network import MIN_ADAPTIVE_VOCAB_SIZE, ModelConfig, default_cutoffs
from theano_rnn.settings.text import TextConfig

S = TypeVar("S", bound=Section)
DEFAULT_LEARNING_RATE = {
    "sgd": 1.0, "asgd": 1.0, "nesterov": 0.1, "adagrad": 0.1, "rmsprop": 0.001, "adam": 0.003, "adamw": 0.003,
}  # fmt: skip


MAX_BATCH_TOKENS = 1 << 24


@dataclass(frozen=True)
class RegularizationConfig(Section):
    """Regularization against overfitting, applied during training only."""

    dropout: float = setting(
        0.0,
        "dropout rate of word vectors, between layers, and of the last layer's outputs",
        kind=float,
        at_least=0,
        below=1,
    )
    input_dropout: float | None = setting(
        None, "dropout rate of word vectors (default: --dropout)", kind=float, at_least=0, below=1
    )
    layer_dropout: float | None = setting(
        None, "dropout rate between layers (default: --dropout)", kind=float, at_least=0, below=1
    )
    output_dropout: float | None = setting(
        None, "dropout rate of the last layer's outputs (default: --dropout)", kind=float, at_least=0, below=1
    )
    variational: bool = setting(
        False,
        "use the same dropout mask at all time steps of a sequence, not a new one at each step",
        kind=bool,
    )
    embedding_dropout: float = setting(
        0.0,
        "fraction of the vocabulary whose word vectors are dropped as a whole",
        kind=float,
        at_least=0,
        below=1,
    )
    recurrent_dropout: float = setting(
        0.0,
        "weight drop: dropout rate of the recurrent weights W_hh, with one mask for a whole sequence",
        kind=float,
        at_least=0,
        below=1,
    )
    activation_penalty: float = setting(
        0.0,
        "activation regularization: add this times the mean square of the outputs to the loss",
        kind=float,
        at_least=0,
    )
    temporal_penalty: float = setting(
        0.0,
        "temporal activation regularization: add this times the mean square of the difference between outputs at "
        "successive time steps to the loss",
        kind=float,
        at_least=0,
    )
    label_smoothing: float = setting(
        0.0,
        "fraction of the target's probability to spread evenly over the vocabulary",
        kind=float,
        at_least=0,
        below=1,
    )


def check_head(model: ModelConfig, regularization: RegularizationConfig, num_devices: int | None) -> None:
    """Raises `UserError` if the head cannot be trained like this. The message starts with the name of a setting."""
    if model.head == "adaptive" and regularization.label_smoothing:
        raise UserError(
            "label_smoothing cannot be used with head adaptive, which does not compute the probabilities of all words: "
            "use --head softmax"
        )
    if model.head == "adaptive" and num_devices != 1:
        raise UserError("num_devices must be 1 with head adaptive, which devices cannot share: use --head softmax")


@dataclass(frozen=True)
class TrainingConfig(RegularizationConfig):
    """Settings of training that affect the result, so they are stored in the checkpoint."""

    dropout: float = with_default(RegularizationConfig, "dropout", 0.4)
    batching: str = setting(
        "stream",
        "stream: one long text, whose hidden state is carried from batch to batch; sentences: each sentence starts "
        "from a zero state",
        choices=("stream", "sentences"),
    )  # fmt: skip
    batch_size: int = setting(
        20, "number of sequences in a batch: parallel sections of the stream, or sentences", kind=int, at_least=1
    )
    bptt_steps: int = setting(
        35,
        "sequence length of a batch of the stream. Gradients are computed over this many time steps (truncated "
        "backpropagation through time)",
        kind=int,
        at_least=1,
    )
    random_windows: bool = setting(
        False, "vary the sequence length randomly around --bptt-steps, and the learning rate in proportion", kind=bool
    )
    state_reset: float = setting(
        0.0, "probability with which a section of the stream begins a batch from a zero state instead of the carried "
        "one. A model that rarely begins from zero in training may write nonsense after some beginnings",
        kind=float, at_least=0, below=1,
    )  # fmt: skip
    optimizer: str = setting(
        "adam", "optimizer; asgd: SGD that averages the parameters once the validation loss stops falling",
        choices=("sgd", "nesterov", "asgd", "adagrad", "rmsprop", "adam", "adamw"),
    )  # fmt: skip
    learning_rate: float | None = setting(
        None, "base learning rate (default: 0.003 for adam and adamw, 0.001 for rmsprop, 0.1 for nesterov and adagrad, "
        "1 for sgd and asgd)", kind=float, above=0,
    )  # fmt: skip
    schedule: str = setting(
        "linear", "learning rate schedule. plateau: halve it when the validation loss rises; others: it depends "
        "only on the number of the update", choices=("plateau", "constant", "steps", "linear", "cosine", "one_cycle"),
    )  # fmt: skip
    schedule_steps: int | None = setting(
        None, "length of the --schedule in updates (default: all updates of all epochs)", kind=int, at_least=1
    )
    warmup: float | None = setting(
        None, "fraction of the schedule, at its beginning, in which the learning rate rises (default: 0.3 for "
        "one_cycle, else 0)",
        kind=float, at_least=0, below=1,
    )  # fmt: skip
    learning_rate_factor: float = setting(
        1.0, "with --init-from, factor of the learning rate of the parameters taken from that model; 0: they do not "
        "change", kind=float, at_least=0,
    )  # fmt: skip
    unfreeze_epochs: int = setting(
        0, "gradual unfreezing with --init-from: train only the new parameters at first, and after every N epochs also "
        "the next layer, from the output down to the embedding; 0: train all from the start",
        kind=int, at_least=0,
    )  # fmt: skip
    clip_norm: float = setting(0.25, "clip gradients to this global L2 norm; 0: no clipping", kind=float, at_least=0)
    clip_value: float = setting(
        0.0, "clip each element of a gradient to +-this value; 0: no clipping", kind=float, at_least=0
    )
    weight_decay: float | None = setting(
        None, "factor of the weight decay: factor * parameter is added to the gradient; with adamw, each update "
        "instead subtracts learning rate * factor * parameter (default: 0.01 for adamw, else 0)",
        kind=float, at_least=0,
    )  # fmt: skip
    precision: str = setting(
        "auto", "precision of the matrix products of training, with engine jax. tensorfloat32: 11 significant bits of "
        "each factor count; bfloat16: 8; bfloat16x3: about 16, in three products; auto: float32 on a CPU, "
        "tensorfloat32 on a GPU. On a CPU, bfloat16 and bfloat16x3 save time where the processor has instructions for "
        "them (AMX, AVX512_BF16)",
        choices=("auto", "float32", "tensorfloat32", "bfloat16x3", "bfloat16"),
    )  # fmt: skip
    average_decay: float = setting(
        0.0, "decay of an exponential moving average of the parameters, which is then validated and used as the "
        "result; 0: no average", kind=float, at_least=0, below=1,
    )  # fmt: skip
    epochs: int = setting(
        12,
        "number of passes over the training text. With --resume it may be larger than before, "
        "if the learning rate does not depend on it (--schedule plateau or constant)",
        kind=int,
        at_least=1,
    )
    patience: int | None = setting(
        None, "early stopping: stop after this many epochs without a better validation loss", kind=int, at_least=1
    )
    validate_every: int | None = setting(
        None, "also validate and show samples within an epoch, every N updates; useful if an epoch takes long",
        kind=int, at_least=1,
    )  # fmt: skip
    select: str | None = setting(
        None,
        "the validation measure that decides which epoch's parameters are kept as the best (default: loss)",
        metavar="MEASURE",
    )
    taken: tuple[str, ...] = ()  # the parameters taken from the model of --init-from
    seed: int = setting(1, "random seed for initialization, shuffling, dropout and samples", kind=int, at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size * self.bptt_steps > MAX_BATCH_TOKENS:
            raise UserError(
                f"batch_size times --bptt-steps must be at most {MAX_BATCH_TOKENS:,} tokens of a batch, got "
                f"{self.batch_size * self.bptt_steps:,}"
            )
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", DEFAULT_LEARNING_RATE[self.optimizer])
        if self.weight_decay is None:
            object.__setattr__(self, "weight_decay", 0.01 if self.optimizer == "adamw" else 0.0)
        if self.warmup is None:
            object.__setattr__(self, "warmup", 0.3 if self.schedule == "one_cycle" else 0.0)
        if self.optimizer == "asgd" and (self.learning_rate_factor != 1 or self.unfreeze_epochs):
            raise UserError("optimizer asgd cannot be used with --learning-rate-factor or --unfreeze-epochs: use "
                            "another optimizer")  # fmt: skip
        if self.average_decay and self.optimizer == "asgd":
            raise UserError(
                "average_decay cannot be used with optimizer asgd, which has its own average: leave out --average-decay"
            )


def resolved_head(model: ModelConfig, training: TrainingConfig | None = None, num_devices: int = 1) -> ModelConfig:
    """Returns `model` with head ``auto`` replaced by softmax or adaptive, and with the default cutoffs filled in.

    ``auto`` is never adaptive for sentences: their batches have many shapes, and an adaptive head would take minutes to
    compile for all of them.
    """
    if model.head == "auto":
        is_large = model.vocab_size >= MIN_ADAPTIVE_VOCAB_SIZE
        is_possible = training is None or (training.batching == "stream" and not training.label_smoothing)
        head = "adaptive" if is_large and is_possible and num_devices == 1 else "softmax"
        model = dataclasses.replace(model, head=head)
    if model.head == "adaptive" and not model.cutoffs:
        model = dataclasses.replace(model, cutoffs=default_cutoffs(model.vocab_size))
    return model


@dataclass(frozen=True)
class RunConfig(Section):
    """Settings of a run that do not affect the result, such as file names.

    They are not stored in the checkpoint and may change on --resume.
    """

    checkpoint: str = setting(
        "runs/model.safetensors",
        "file to save the model to. An older model of that name is kept as NAME.1.safetensors, NAME.2.safetensors, ...",
        metavar="FILE",
    )
    log: str | None = setting(
        None, "file for the log, in JSON lines (default: the checkpoint's name with .jsonl)", metavar="FILE"
    )
    preset: str = setting(
        "auto", "values for the settings that you do not name. auto: chosen for the size of the text; none: the "
        "defaults in this help; the name of a recipe, such as austen: those of the recipe", metavar="NAME",
    )  # fmt: skip
    resume: bool = setting(
        False,
        "continue from the checkpoint, with the same result as without an interruption. If the text has moved, add "
        "--train NEWPLACE; to train longer, add more --epochs",
        kind=bool,
    )
    max_seconds: float | None = setting(
        None, "stop training after this many seconds; time for tokenizing and validation does not count, but "
        "compilation by XLA during training does",
        kind=float, above=0,
    )  # fmt: skip
    testing: bool = setting(
        True, "measure the best parameters on the test part at the end. --no-testing: leave the test part alone, "
        "while you compare runs with each other", kind=bool,
    )  # fmt: skip
    curves: bool = setting(
        True,
        "draw the learning curves to NAME.curves.png next to the checkpoint, if matplotlib is installed",
        kind=bool,
    )
    tensorboard: str | None = setting(
        None, "write TensorBoard event files to this folder, each run to a subfolder named like the checkpoint: loss, "
        "perplexity, learning rate, norms of gradients and parameters", metavar="FOLDER",
    )  # fmt: skip


FORMER_DEFAULTS: dict[type[Section], dict[str, Any]] = {
    TextConfig: {"rules": 1},
    ModelConfig: {"tie_weights": False, "head": "softmax"},
    TrainingConfig: {"dropout": 0.0, "schedule": "plateau"},
}


def from_checkpoint(section: type[S], values: Mapping[str, Any]) -> S:
    """Same as `from_mapping`, but a setting that an older checkpoint lacks gets the default of that version."""
    return from_mapping(section, FORMER_DEFAULTS.get(section, {}) | dict(values))
