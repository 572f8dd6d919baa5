"""The C engine: the graphs that it compiles, its error messages, and that it leaves Aesara unchanged."""

import inspect
import logging
import shutil
from types import SimpleNamespace

import aesara
import aesara.tensor as T
import numpy as np
import pytest
import reference
from aesara.compile.mode import Mode
from aesara.scan.op import Scan
from aesara.tensor.blas import Dot22, Dot22Scalar, Gemm
from aesara.tensor.math import Dot
from conftest import ENGINES, compiled_once

from theano_rnn.engine import c
from theano_rnn.engine.compiling import compile_function
from theano_rnn.settings.base import UserError

HIDDEN, EMBEDDING, VOCAB = 6, 5, 7
pytestmark = pytest.mark.skipif("c" not in ENGINES, reason="Aesara's C code does not compile here")
FLAGS = ("allow_gc", "gcc__cxxflags", "mode", "linker", "floatX", "cxx", "optimizer_excluding", "openmp")


@pytest.fixture
def engine():
    return "c"


def nodes(function):
    return function.maker.fgraph.toposort()


def scans(function):
    """Returns scans by name, each with the nodes of its compiled inner function."""
    return {node.op.name: nodes(node.op.fn) for node in nodes(function) if isinstance(node.op, Scan)}


def matrix_products(apply_nodes):
    """Returns the products of two matrices, without the norm's product of a vector with itself."""
    kinds = (Dot, Dot22, Gemm, Dot22Scalar)
    return [node for node in apply_nodes if isinstance(node.op, kinds) and node.outputs[0].ndim == 2]


# The compiled functions


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 3), (1, 1)])
def test_losses_are_those_of_plain_loops(shape):
    """The one model that also the quick selection compiles with g++."""
    model = compiled_once("tanh", "c", "loss").reset()
    inputs = model.inputs(*shape)
    losses, state = model.functions.loss(*inputs)
    np.testing.assert_allclose(losses, reference.losses(model.params(), *inputs, "tanh"), atol=1e-12)
    final = reference.forward(model.params(), inputs.tokens, inputs.mask, inputs.state, "tanh")[-1]
    np.testing.assert_allclose(state, final, atol=1e-12)


def test_no_product_is_computed_twice_for_the_norm(adam):
    """Aesara's Dot22Scalar would compute the largest gradients twice, scaled and unscaled."""
    everything = [
        node for part in [nodes(adam.functions.train), *scans(adam.functions.train).values()] for node in part
    ]
    assert not [node for node in everything if isinstance(node.op, Dot22Scalar)]


@pytest.mark.parametrize("model", ["tanh", "relu", "adam"])
def test_training_takes_seven_matrix_products_outside_its_scans(model, request, engine):
    """x W_xh and h W_hy; four products for their gradients; one for the gradient of W_hh over all time steps."""
    train = request.getfixturevalue(model).functions.train
    assert len(matrix_products(nodes(train))) == 7


@pytest.mark.parametrize("model", ["tanh", "relu", "adam"])
def test_each_scan_takes_one_product_a_step(model, request, engine):
    """Forward h W_hh, backward the gradient of h: nothing of the forward pass is computed again.

    A second product would be the gradient of W_hh, which should be one large product outside the scan.
    """
    inner = scans(request.getfixturevalue(model).functions.train)
    products = {name: len(matrix_products(part)) for name, part in inner.items()}
    assert products == {"unroll_RNNCell": 1, "grad_of_unroll_RNNCell": 1}


def test_evaluation_takes_one_scan_and_two_products(tanh):
    for function in (tanh.functions.loss, tanh.functions.predict):
        assert [len(matrix_products(part)) for part in scans(function).values()] == [1]
        assert len(matrix_products(nodes(function))) == 2
    assert not scans(tanh.functions.step)
    assert len(matrix_products(nodes(tanh.functions.step))) == 3


def test_inner_functions_of_scans_are_compiled_by_this_engine(adam):
    operations = [node.op for node in nodes(adam.functions.train) if isinstance(node.op, Scan)]
    assert len(operations) == 2
    for operation in operations:
        assert isinstance(operation.fn.maker.linker, c.CEngineLinker)
        assert not operation.fn.maker.linker.allow_gc


def test_large_arrays_are_computed_in_c_and_lengths_in_python(adam):
    function = adam.functions.train
    in_c = {thunk_node: hasattr(thunk, "cthunk") for thunk, thunk_node in zip(function.vm.thunks, function.vm.nodes)}
    products = matrix_products(in_c)
    assert len(products) == 7
    assert all(in_c[node] for node in products)
    length_arithmetic = [node for node in in_c if c.is_length_arithmetic(node)]
    assert len(length_arithmetic) > 20
    assert not any(in_c[node] for node in length_arithmetic)


@pytest.mark.slow
def test_results_do_not_depend_on_the_engine(tanh, python_mode):
    """The same graph in Aesara's plain Python mode gives the same numbers."""
    graph = tanh.model.train(optimizer="sgd", clip_norm=0)
    plain = aesara.function(graph.arguments, graph.results, updates=list(graph.updates.items()))
    arguments = tanh.inputs()
    expected = plain(*arguments, 0.5)
    expected_params = tanh.params()
    tanh.reset()
    for actual, value in zip(tanh.functions.train(*arguments, 0.5), expected):
        np.testing.assert_allclose(actual, value, rtol=1e-12)
    for name, actual in tanh.params().items():
        np.testing.assert_allclose(actual, expected_params[name], rtol=1e-12)


# Other Aesara programs in the process


def doubling():
    x = T.dvector("x")
    return compile_function([x], 2 * x, name="doubling")


def test_compiling_leaves_aesara_as_it_was():
    before = {name: getattr(aesara.config, name) for name in FLAGS}
    np.testing.assert_array_equal(doubling()(np.array([1.0, 2.0])), [2.0, 4.0])
    assert {name: getattr(aesara.config, name) for name in FLAGS} == before


def test_compiling_leaves_aesara_as_it_was_when_it_fails():
    before = {name: getattr(aesara.config, name) for name in FLAGS}
    x, y = T.dvectors("x", "y")
    with pytest.raises(aesara.graph.utils.MissingInputError):
        compile_function([x], x + y)
    assert {name: getattr(aesara.config, name) for name in FLAGS} == before


def test_functions_compiled_by_others_are_unaffected(adam):
    assert adam.functions.train is not None
    x, y = T.dmatrices("x", "y")
    others = aesara.function([x, y], 3 * T.dot(x, y), mode=Mode("py", "fast_run"))
    assert any(isinstance(node.op, Dot22Scalar) for node in nodes(others))
    vector = T.dvector()
    plain = aesara.function([vector], 2 * vector)
    assert not isinstance(plain.maker.linker, c.CEngineLinker)
    assert plain.maker.linker.allow_gc == aesara.config.allow_gc
    assert type(aesara.compile.mode.get_default_mode().linker) is not c.CEngineLinker


def test_a_graph_compiled_here_can_still_be_compiled_by_others(python_mode, monkeypatch):
    """This engine copies the scan and shape operations; those in the graph stay Aesara's."""
    x = T.dvector("x")
    total, _ = aesara.scan(lambda a, b: a + b, sequences=[x], outputs_info=[T.zeros(())])
    (scan_node,) = [node for node in aesara.graph.basic.io_toposort([x], [total]) if isinstance(node.op, Scan)]
    mode_before = scan_node.op.mode_instance
    monkeypatch.setattr(c, "compiler_command", lambda: "")  # Python is enough for this
    with aesara.config.change_flags(mode="Mode", cxx=""):
        ours = compile_function([x], [total, x.shape[0] + 1])
    assert scan_node.op.mode_instance is mode_before
    theirs = aesara.function([x], [total, x.shape[0] + 1])
    (inner,) = [node.op.fn for node in nodes(theirs) if isinstance(node.op, Scan)]
    assert not isinstance(inner.maker.linker, c.CEngineLinker)
    for function in (ours, theirs):
        sums, length = function(np.array([1.0, 2.0, 3.0]))
        np.testing.assert_array_equal(sums, [1, 3, 6])
        assert length == 4


# Failures


def test_it_compiles_though_aesara_was_told_to_have_no_compiler():
    """As where the XLA engine ran first. Otherwise Aesara's Python code would run, slowly and without a word."""
    x = T.dvector("x")
    with aesara.config.change_flags(cxx=""):
        function = compile_function([x], [2 * x], engine="c")
        assert aesara.config.cxx == ""
    assert [hasattr(thunk, "cthunk") for thunk in function.vm.thunks] == [True]
    np.testing.assert_array_equal(function(np.ones(2))[0], [2, 2])


def test_the_compiler_is_aesaras_if_it_has_one():
    with aesara.config.change_flags(cxx="/opt/clang++"):
        assert c.compiler_command() == "/opt/clang++"


def test_without_a_compiler_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"no C\+\+ compiler found; install g\+\+") as caught:
        doubling()
    assert "\n" not in str(caught.value)


def test_the_precompiled_header_is_there_to_be_used():
    flags = c.precompiled_header_flags()
    kind, header = flags.split()
    assert kind == "-include"
    assert header.startswith(aesara.config.compiledir)
    with open(f"{header}.gch", "rb") as compiled:
        assert compiled.read(4) == b"gpch" or shutil.which("g++") is None


def test_modules_are_compiled_for_this_processor_though_the_header_is_there(monkeypatch):
    """Aesara finds the processor's flags by a trial compilation, which fails if its flags include our header."""
    expected = c.GCC_compiler.compile_args()
    assert c.precompiled_header_flags()
    monkeypatch.setattr(c.GCC_compiler, "march_flags", None)
    doubling()
    assert c.GCC_compiler.compile_args() == expected


@pytest.mark.parametrize("compiler", ["false", "/no/such/compiler", ""])
def test_a_header_that_does_not_compile_is_done_without(compiler, monkeypatch, tmp_path):
    config = SimpleNamespace(compiledir=str(tmp_path / "cache"), cxx=compiler)
    monkeypatch.setattr(c, "aesara", SimpleNamespace(config=config))
    assert c.precompiled_header_flags() == ""
    assert not list(tmp_path.rglob("*.gch"))


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(c, "aesara", SimpleNamespace(config=SimpleNamespace(compiledir=f"{tmp_path}/file", cxx="g++")))
    assert c.precompiled_header_flags() == ""


# Progress


NO_LIBRARY = "We did not find a dynamic library in the library_dir of the library we use for blas."


@pytest.fixture
def log():
    return logging.getLogger("aesara.link.c.cmodule")


def test_progress_counts_the_modules_that_are_written(log):
    runs = []
    with c.report_compiler_runs(runs.append):
        log.debug("Writing module C++ code to %s", "somewhere")
        log.debug("something else")
        log.debug("Writing module C++ code to %s", "elsewhere")
    log.debug("Writing module C++ code to %s", "after the end")
    assert runs == [1, 2]


@pytest.mark.parametrize("progress", [None, lambda runs: None])
def test_watching_prints_nothing_and_keeps_warnings(progress, log, caplog):
    with c.report_compiler_runs(progress):
        log.debug("Writing module C++ code to %s", "somewhere")
        log.warning("a warning")
        logging.getLogger("aesara.tensor.blas").warning(NO_LIBRARY)
        logging.getLogger("aesara.tensor.blas").warning("another warning")
    assert [record.getMessage() for record in caplog.records] == ["a warning", "another warning"]


@pytest.mark.parametrize("fails", [False, True])
def test_watching_restores_the_loggers(log, fails, caplog):
    loggers = [log, logging.getLogger("aesara.tensor.blas")]
    before = [(logger.level, list(logger.filters), list(logger.handlers)) for logger in loggers]
    try:
        with c.report_compiler_runs(lambda runs: None):
            assert log.level == logging.DEBUG
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert [(logger.level, logger.filters, logger.handlers) for logger in loggers] == before
    loggers[1].warning(NO_LIBRARY)  # to other Aesara programs it may be of use
    assert [record.getMessage() for record in caplog.records] == [NO_LIBRARY]


def test_aesara_still_says_what_is_counted():
    """A real compilation would add a module to the user's cache at every run of this test."""
    source = inspect.getsource(aesara.link.c.cmodule.GCC_compiler.compile_str)
    assert '_logger.debug(f"Writing module' in source or '_logger.debug("Writing module' in source
