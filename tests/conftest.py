"""What the whole session shares: models that are compiled once, the choice of engines, and which tests are slow.

Compiling a training function takes seconds, and half a minute with engine c and an empty cache, so tests of the
compiled model share a few functions and feed them many inputs. Graphs too small to be worth compiling run under
`python_mode`.

Environment variables for compilers are set by `quick_compilers`.
"""

import atexit  # noqa: I001  (the order of imports matters below)
import functools
import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from quick_compilers import CACHE, SHARED_CACHE  # sets what aesara and JAX read when they are imported
import theano_rnn  # noqa: F401  (adds its flags, so it comes before aesara)
import aesara
import numpy as np
import pytest
from aesara.tensor.elemwise import Elemwise
from shared_c_modules import share_c_modules

from theano_rnn.engine import kernels
from theano_rnn.engine.aesara_flags import has_jax
from theano_rnn.engine.changed_flags import AESARA_LOCK
from theano_rnn.settings.network import ModelConfig
from theano_rnn.learning.trainable import Functions
from theano_rnn.model import RNNLM

share_c_modules(Path(SHARED_CACHE) / "c_modules")
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
gc.set_threshold(100_000, 20, 50)  # graphs are millions of objects, and a worker keeps those of the tests before

TIME, BATCH, VOCAB, EMBEDDING, HIDDEN = 4, 3, 7, 5, 6  # all distinct, so that no two axes can be mistaken


SMOKE = {"test_batching", "test_cells", "test_checkpoint", "test_detokenizing", "test_generation", "test_model",
         "test_numpy2", "test_words", "test_sampling", "test_scoring", "test_vocabulary"}  # fmt: skip
XLA = {"test_adaptive_head", "test_cli_engines", "test_fill", "test_engine_xla", "test_engines_together",
       "test_lowered_scan", "test_lowering", "test_lowering_shapes", "test_lstm", "test_noise",
       "test_static_shapes"}  # fmt: skip

SLOW = {"test_cli_engines", "test_cli_fill", "test_cli_resume", "test_resume_with_everything"}  # minutes in all

# Modules of one or several minutes. They start first, so that no worker has one of them left when the others have none.
# The very first copies its process many times, which takes longer when that has gigabytes of graphs.
LONG = ("test_cli_resume", "test_cli_train_translator", "test_parallel", "test_cli_train_captioner",
        "test_translation_model", "test_lowered_scan", "test_cli_engines", "test_documentation", "test_recipes",
        "test_model", "test_cells_unrolled", "test_text_classifier", "test_recognition_model", "test_caption_model",
        "test_ctc", "test_resume_with_everything", "test_regularization", "test_adaptive_head", "test_windows",
        "test_long_lags", "test_engine_c", "test_cli_fill", "test_cli_train_classifier")  # fmt: skip

# Modules whose tests of engine c are quick: they show that g++ compiles a loss and a scan to the right numbers.
QUICK_ON_C = {"test_losses"}

assert {path.stem for path in Path(__file__).parent.rglob("test_*.py")} >= SMOKE | XLA | SLOW | QUICK_ON_C | set(LONG)


def is_slow_on_c(item: pytest.Item) -> bool:
    """Returns whether a test compiles a training function, a layer or an optimizer with g++, for 10 seconds or more."""
    if item.path.stem == "test_engine_c":
        return bool({"tanh", "relu", "lstm", "adam", "hidden_1", "model"} & set(getattr(item, "fixturenames", ())))
    parameters = getattr(item, "callspec", None)
    return (
        parameters is not None
        and "c" in [parameters.params.get("engine"), *np.ravel(parameters.params.get("case", ""))]
        and item.path.stem not in QUICK_ON_C
    )


def is_another_dtype(item: pytest.Item) -> bool:
    """Returns whether a test of one operation's conversion repeats, in another dtype, what is tested in float64."""
    parameters = getattr(item, "callspec", None)
    dtypes = {"float32", "int64", "int32", "int8", "uint8", "bool"}
    return (
        item.path.stem in {"test_lowering", "test_lowering_shapes", "test_lowered_scan"}
        and parameters is not None
        and any(isinstance(value, str) and value in dtypes for value in parameters.params.values())
    )


def pytest_configure(config: pytest.Config) -> None:
    """Have pytest-xdist run modules in the order of `pytest_collection_modifyitems`, not those of many tests first."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests for the other Pythons and the stack of NumPy 2, those of engine c alone, and the slow ones.

    Also marks the quick ones, each with its first parameters, and puts the tests of long modules first.
    """
    seen = set()
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))
    for item in items:
        for marker, modules in (("smoke", SMOKE), ("xla", XLA), ("slow", SLOW)):
            if item.path.stem in modules:
                item.add_marker(marker)
        if item.path.stem == "test_engine_c":
            item.add_marker("engine_c")
        if is_slow_on_c(item) or is_another_dtype(item):
            item.add_marker("slow")
        if not item.get_closest_marker("slow"):
            function = item.nodeid.partition("[")[0]
            if function not in seen:
                item.add_marker("quick")
            seen.add(function)


class Inputs(NamedTuple):
    """What `train` and `loss` take before the learning rate."""

    tokens: Any
    targets: Any
    mask: Any
    state: Any


class Compiled:
    """A model and its compiled functions; `reset` gives it the parameters and optimizer state it began with.

    Its parameters are drawn anew, larger than a fresh model's and biases not zero, so that nothing hides behind them.
    """

    def __init__(
        self, cell: str, *names: str, hidden_size: int = HIDDEN, dtype: str = "float64", **options: Any
    ) -> None:
        config = ModelConfig(
            cell=cell, embedding_size=EMBEDDING, hidden_size=hidden_size, vocab_size=VOCAB,
            tie_weights=False, dtype=dtype,
        )
        rng = np.random.default_rng(20)
        self.cell = cell
        self.model = RNNLM(config, rng=rng)
        self.functions: Functions = self.model.compile(*names, **options)
        for parameter in self.model.params.values():
            parameter.set_value(rng.normal(0, 0.5, parameter.get_value().shape).astype(dtype))
        self.shared = [*self.model.params.values(), *self.model.optimizer_state.values()]
        self.beginning = [np.array(variable.get_value()) for variable in self.shared]

    def reset(self) -> "Compiled":
        for variable, value in zip(self.shared, self.beginning):
            variable.set_value(value)
        return self

    def params(self) -> dict[str, Any]:
        return {name: np.array(parameter.get_value()) for name, parameter in self.model.params.items()}

    def inputs(self, time: int = TIME, batch: int = BATCH, *, seed: int = 0, carried: bool = True) -> Inputs:
        """Sentences of unequal length, the first as long as `time`; tokens also from the two rows never predicted."""
        rng = np.random.default_rng(seed)
        lengths = np.array([time, 1, 2, 3][:batch]).clip(max=time)
        mask = (np.arange(time)[:, None] < lengths).astype("float64")
        tokens = rng.integers(VOCAB + 2, size=(time, batch), dtype="int32")
        targets = rng.integers(VOCAB, size=(time, batch), dtype="int32")
        hidden_size = self.model.config.hidden_size
        state = rng.normal(0, 0.5, (batch, hidden_size)) if carried else np.zeros((batch, hidden_size))
        return Inputs(tokens, targets, mask, state)

    def mean_loss(self, inputs: Inputs) -> float:
        """By the `loss` function, in nats per real token."""
        losses, _ = self.functions.loss(*inputs)
        return float(np.asarray(losses).sum() / inputs.mask.sum())

    def gradients(self, inputs: Inputs) -> dict[str, Any]:
        """By one step of gradient descent with learning rate 1, which is undone."""
        before = self.params()
        self.functions.train(*inputs, 1.0)
        after = self.params()
        for name, parameter in self.model.params.items():
            parameter.set_value(before[name])
        return {name: before[name] - after[name] for name in before}

    def central_differences(self, *arguments: Any) -> dict[str, Any]:
        """The slopes of the loss that `train` returns for `arguments`, by moving every number of every parameter."""
        slopes = {}
        for name, parameter in self.model.params.items():
            value = np.array(parameter.get_value())
            slopes[name] = np.zeros_like(value)
            for index in np.ndindex(*value.shape):
                for sign in (1, -1):
                    moved = value.copy()
                    moved[index] += sign * 1e-5
                    parameter.set_value(moved)
                    slopes[name][index] += sign * self.functions.train(*arguments, 0.0)[0] / 2e-5
            parameter.set_value(value)
        return slopes


CAN_RUN_C = sys.version_info < (3, 12) and np.lib.NumpyVersion(np.__version__) < "2.0.0"
ENGINES = [name for name, can_run in (("c", CAN_RUN_C), ("jax", has_jax())) if can_run]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that can run here; a module about one of them overrides this."""
    return str(request.param)


@functools.cache
def compiled_once(cell: str, engine: str, *names: str, **options: Any) -> Compiled:
    return Compiled(cell, *names, engine=engine, **options)


def aesara_settings() -> dict[str, Any]:
    """Those that this package changes while it compiles; waits until no thread does so."""
    with AESARA_LOCK:
        flags = {name: getattr(aesara.config, name) for name in ("allow_gc", "cxx", "floatX", "gcc__cxxflags", "mode")}
        return flags | {"shapes": (aesara.tensor.basic.infer_static_shape, Elemwise.infer_shape)}


@pytest.fixture(autouse=True)
def aesara_is_left_as_it_was() -> Iterator[None]:
    """Once, a test of engine c ran in Python, because an earlier one had left ``cxx=""`` behind."""
    before = aesara_settings()
    yield
    assert aesara_settings() == before


@pytest.fixture
def kernels_are_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the kernels, if the environment variable that turns them off is set for all tests."""
    if os.environ.get(kernels.VARIABLE) == "none":
        monkeypatch.delenv(kernels.VARIABLE)


@pytest.fixture
def fully_optimized(monkeypatch: pytest.MonkeyPatch) -> None:
    """For thousands of steps, which take longer without XLA's optimization than that takes."""
    if has_jax():
        from theano_rnn.engine.xla import Placement

        options = Placement.jit_options
        full = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}

        def full_options(self: Placement) -> dict[str, Any]:
            given = options(self)
            return given | {"compiler_options": (given["compiler_options"] or {}) | full}

        monkeypatch.setattr(Placement, "jit_options", full_options)


@pytest.fixture
def tanh(engine: str) -> Compiled:
    """All four functions; `train` is gradient descent without clipping."""
    return compiled_once("tanh", engine).reset()


@pytest.fixture
def relu(engine: str) -> Compiled:
    """`train` and `predict`, gradient descent."""
    return compiled_once("relu", engine, "train", "predict").reset()


@pytest.fixture
def lstm(engine: str) -> Compiled:
    """`train` and `predict` of an LSTM, gradient descent."""
    return compiled_once("lstm", engine, "train", "predict").reset()


@pytest.fixture
def hidden_1(engine: str) -> Compiled:
    """`train` of a tanh model with one hidden unit, gradient descent."""
    return compiled_once("tanh", engine, "train", hidden_size=1).reset()


@pytest.fixture
def adam(engine: str) -> Compiled:
    """`train` of a tanh model by Adam, clipped to a norm of 0.3."""
    return compiled_once("tanh", engine, "train", optimizer="adam", clip_norm=0.3).reset()


@pytest.fixture
def python_mode() -> Iterator[None]:
    """Functions, and the scans in them, run operation by operation in Python: nothing to compile.

    Without a compiler even constants are folded in Python.
    """
    with aesara.config.change_flags(mode="FAST_COMPILE", cxx=""):
        yield
