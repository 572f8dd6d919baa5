"""Aesara's settings are one set for the whole process: threads that compile at once must not mix them up."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import aesara
import aesara.tensor as T
import numpy as np
import pytest
from aesara.tensor.elemwise import Elemwise
from conftest import ENGINES

from theano_rnn.engine.changed_flags import RARELY, changed_flags, rare_garbage_collection
from theano_rnn.engine.compiling import compile_function
from theano_rnn.engine.static_shapes import cheap_shapes

SECONDS = 0.3  # that one thread stays inside, for the other to come in if it can


def entered_in_turns(context):
    """Two threads enter `context()`; the one that enters first leaves first, while the other is inside if it can be."""
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first():
        with context():
            first_is_in.set()
            is_mixed = second_is_in.wait(SECONDS)
        first_is_out.set()
        return is_mixed

    def second():
        first_is_in.wait()
        with context():
            second_is_in.set()
            first_is_out.wait(SECONDS)

    with ThreadPoolExecutor(2) as pool:
        is_mixed, _ = [pool.submit(first), pool.submit(second)]
    return is_mixed.result()


def test_flags_are_what_they_were_after_two_threads_changed_them():
    before = aesara.config.cxx
    assert not entered_in_turns(lambda: changed_flags(cxx="of a thread"))
    assert aesara.config.cxx == before


def test_so_are_the_functions_that_find_shapes():
    before = T.basic.infer_static_shape, Elemwise.infer_shape
    assert not entered_in_turns(cheap_shapes)
    assert (T.basic.infer_static_shape, Elemwise.infer_shape) == before


def test_one_thread_may_change_them_several_times():
    before = aesara.config.floatX
    with changed_flags(floatX="float32"), changed_flags(floatX="float64"):
        assert aesara.config.floatX == "float64"
    assert aesara.config.floatX == before


@pytest.mark.parametrize("engine", ENGINES)
def test_two_threads_compile_one_after_the_other(engine, monkeypatch):
    """Without this, ``cxx=""`` of one thread's XLA stayed for ever, and engine c ran everything in Python."""
    original, inside, counts = aesara.function, [], []

    def slow_function(*arguments, **options):
        inside.append(aesara.config.cxx)
        counts.append(len(inside))
        threading.Event().wait(SECONDS)
        function = original(*arguments, **options)
        inside.pop()
        return function

    def compiled(factor):
        x = T.dvector("x")
        return compile_function([x], [factor * x], engine=engine)(np.ones(1))[0]

    before = aesara.config.cxx
    monkeypatch.setattr(aesara, "function", slow_function)
    with ThreadPoolExecutor(2) as pool:
        assert [float(result[0]) for result in pool.map(compiled, [2.0, 3.0])] == [2, 3]
    assert counts == [1, 1] and aesara.config.cxx == before


# The garbage collector


@pytest.fixture
def thresholds():
    """Those of the test session, which a test may change."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("before", "inside"), [((700, 10, 10), RARELY), ((10**6, 1, 10), (10**6, *RARELY[1:])), ((0, 10, 10), (0, 10, 10))]
)
@pytest.mark.usefixtures("thresholds")
def test_garbage_is_looked_for_more_rarely_while_something_is_compiled(before, inside):
    gc.set_threshold(*before)

    def fail():
        with rare_garbage_collection():
            assert gc.get_threshold() == inside
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.get_threshold() == before


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.usefixtures("thresholds")
def test_compiling_a_function_does_so(engine, monkeypatch):
    original, found = aesara.function, []

    def function(*arguments, **options):
        found.append(gc.get_threshold())
        return original(*arguments, **options)

    monkeypatch.setattr(aesara, "function", function)
    gc.set_threshold(700, 10, 10)
    x = T.dvector("x")
    compile_function([x], [2 * x], engine=engine)
    assert found == [RARELY] and gc.get_threshold() == (700, 10, 10)
