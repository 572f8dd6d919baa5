"""The XLA engine keeps parameters and optimizer state on the device, and each step takes over their arrays."""

import aesara
import numpy as np
import pytest

from theano_rnn.engine.compiling import compile_function

jax = pytest.importorskip("jax")


@pytest.fixture
def engine():
    return "jax"


def storage(variable):
    """Returns the value that a shared variable stores, without conversion to NumPy."""
    return variable.container.storage[0]


def compiled(inputs, outputs, updates=()):
    return compile_function(inputs, outputs, list(updates), name="tested", engine="jax", device="auto")


def test_between_calls_parameters_and_optimizer_state_are_arrays_of_the_device(adam):
    for _ in range(2):
        adam.functions.train(*adam.inputs(), 0.01)
        for variable in adam.shared:
            assert isinstance(storage(variable), jax.Array), variable
            assert storage(variable).devices() == {jax.devices()[0]}
            assert storage(variable).dtype == variable.dtype


def test_a_step_takes_over_the_arrays_of_the_step_before_and_their_memory(adam):
    """XLA cannot take over the memory of an array that NumPy views."""
    adam.functions.train(*adam.inputs(), 0.01)
    before = [storage(variable) for variable in adam.shared]
    memory = {array.unsafe_buffer_pointer() for array in before}
    adam.functions.train(*adam.inputs(), 0.01)
    assert all(array.is_deleted() for array in before)
    assert {storage(variable).unsafe_buffer_pointer() for variable in adam.shared} == memory


class MadeNumPyError(Exception):
    pass


def test_no_step_turns_a_parameter_into_numpy(adam, monkeypatch):
    def refusing(function):
        def convert(value, *args, **kwargs):
            if any(value is storage(variable) for variable in adam.shared):
                raise MadeNumPyError
            return function(value, *args, **kwargs)

        return convert

    arguments = adam.inputs()
    adam.functions.train(*arguments, 0.01)
    for name in ("asarray", "array", "asanyarray", "ascontiguousarray", "copy"):
        monkeypatch.setattr(np, name, refusing(getattr(np, name)))
    kind = type(storage(adam.shared[0]))
    for name in ("__array__", "__deepcopy__", "__copy__", "tolist"):
        if hasattr(kind, name):
            monkeypatch.setattr(kind, name, refusing(getattr(kind, name)))
    for read in (lambda: adam.shared[0].get_value(), lambda: np.array(storage(adam.shared[0]))):
        with pytest.raises(MadeNumPyError):
            read()
    for _ in range(3):
        adam.functions.train(*arguments, 0.01)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
def test_values_are_read_and_set_as_numpy_of_their_dtype(dtype):
    start = (np.arange(3) + 1e-12).astype(dtype)
    variable = aesara.shared(start, name="v")
    step = compiled([], [variable.sum()], [(variable, variable + np.ones((), dtype))])
    step()
    for value in (variable.get_value(), variable.get_value(borrow=True)):
        assert type(value) is np.ndarray and value.dtype == dtype
        np.testing.assert_array_equal(value, start + np.ones((), dtype))
        step()
        np.testing.assert_array_equal(value, start + np.ones((), dtype))
        variable.set_value(start)
        assert step()[0] == start.sum()


def test_training_and_evaluation_share_their_parameters(tanh):
    arguments = tanh.inputs()
    first = tanh.mean_loss(arguments)
    assert tanh.functions.train(*arguments, 0.5)[0] == pytest.approx(first, rel=1e-12)
    arrays = [storage(variable) for variable in tanh.shared]
    second = tanh.mean_loss(arguments)
    assert second < first
    assert all(storage(variable) is array for variable, array in zip(tanh.shared, arrays))
    assert tanh.functions.train(*arguments, 0.5)[0] == pytest.approx(second, rel=1e-12)


def test_updates_may_read_and_exchange_each_other():
    a, b = aesara.shared(np.ones(3), name="a"), aesara.shared(np.full(3, 2.0), name="b")
    copy, swap = compiled([], [], [(a, b)]), compiled([], [a, a + b], [(a, b), (b, a + b)])
    for function, new in [(copy, (2, 2)), (copy, (2, 2)), (swap, (2, 4)), (swap, (4, 6))]:
        old = a.get_value(), b.get_value()
        results = function()
        assert (a.get_value()[0], b.get_value()[0]) == new
        if results:
            np.testing.assert_array_equal(results, [old[0], old[0] + old[1]])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_results_outlive_later_steps(dtype):
    variable = aesara.shared(np.zeros(4, dtype), name="v")
    new = variable + np.ones((), dtype)
    step = compiled([], [variable, new, 2 * new], [(variable, new)])
    results = [step() for _ in range(4)]
    for count, arrays in enumerate(results):
        assert [float(np.asarray(array)[0]) for array in arrays] == [count, count + 1, 2 * count + 2]
