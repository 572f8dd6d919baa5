"""A layer of one kind of cell in both directions, compiled once: what test_cells_unrolled.py feeds many inputs."""

from itertools import chain

import aesara.tensor as T
import numpy as np
from aesara.scalar.basic import Composite
from aesara.scan.op import Scan

from theano_rnn.engine.compiling import compile_function
from theano_rnn.model import gradients
from theano_rnn.nn.unrolling import unroll

TIME, BATCH, INPUT, HIDDEN = 4, 3, 5, 6  # all distinct, so that no two axes can be mistaken


class Layer:
    """Two cells, one forwards and one backwards, their outputs side by side.

    Its loss is any weighted sum of the outputs at real steps and of the final states. Parameters are all drawn anew,
    so that no bias is zero; `draw` draws others.
    """

    def __init__(self, make, engine, input_size=INPUT):
        self.input_size = input_size
        self.cells = [make(input_size, HIDDEN, rng=np.random.default_rng(0), dtype="float64") for _ in range(2)]
        self.num_states = self.cells[0].num_states
        self.draw(21)
        x, mask, weights = T.dtensor3("x"), T.dmatrix("mask"), T.dtensor3("weights")
        states, state_weights = ([[T.dmatrix() for _ in range(self.num_states)] for _ in self.cells] for _ in range(2))
        ends = [self.unrolled(place, x, mask, states[place]) for place in range(2)]
        outputs = T.concatenate([end for end, _ in ends], axis=2) * mask[:, :, None]
        finals = [part for _, final in ends for part in final]
        states, state_weights = (list(chain(*nested)) for nested in (states, state_weights))
        loss = T.sum(outputs * weights) + sum(T.sum(a * b) for a, b in zip(finals, state_weights))
        wanted = {f"{place}.{name}": p for place, cell in enumerate(self.cells) for name, p in cell.params.items()}
        wanted |= {"x": x} | {f"state{i}": state for i, state in enumerate(states)}
        slopes = gradients(loss, wanted)
        self.names = list(wanted)
        self.function = compile_function(
            [x, mask, *states, weights, *state_weights], [outputs, *finals, *slopes.values()], engine=engine
        )

    def draw(self, seed):
        """Other parameters."""
        rng = np.random.default_rng(seed)
        for cell in self.cells:
            for parameter in cell.params.values():
                parameter.set_value(rng.normal(0, 0.5, parameter.get_value().shape))
        return self

    def unrolled(self, place, x, mask, state):
        """As RNNLM does it: the projection of all steps at once, then `unroll`."""
        cell, time, batch = self.cells[place], x.shape[0], x.shape[1]
        projected = cell.project(x.reshape((time * batch, cell.input_size)), cell.params)
        projected = projected.reshape((time, batch, projected.shape[1]))
        (outputs,), final = unroll(cell, projected, mask, state, params=cell.params, backwards=place == 1)
        return outputs, final

    def params(self):
        return [{name: np.array(p.get_value()) for name, p in cell.params.items()} for cell in self.cells]

    def inputs(self, time=TIME, batch=BATCH, *, seed=8):
        """x, a mask of sentences of unequal length, states, weights and weights of the final states."""
        rng = np.random.default_rng(seed)
        mask = (np.arange(time)[:, None] < np.array([time, 1, 2][:batch]).clip(max=time)).astype("float64")
        x, weights = rng.normal(size=(time, batch, self.input_size)), rng.normal(size=(time, batch, 2 * HIDDEN))
        states, state_weights = rng.normal(size=(2, 2, self.num_states, batch, HIDDEN))
        return x, mask, states, weights, state_weights

    def __call__(self, x, mask, states, weights, state_weights):
        """Outputs, final states (cells, states, batch, hidden) and gradients by name."""
        by_one = [array.reshape(-1, *array.shape[2:]) for array in (states, state_weights)]
        results = list(map(np.asarray, self.function(x, mask, *by_one[0], weights, *by_one[1])))
        end = 1 + len(by_one[0])
        return results[0], np.array(results[1:end]).reshape(states.shape), dict(zip(self.names, results[end:]))


def scalar_operations(op):
    """Kinds of the scalar operations in an elementwise one."""
    op = getattr(op, "scalar_op", op)
    parts = [scalar_operations(node.op) for node in op.fgraph.toposort()] if isinstance(op, Composite) else [{type(op)}]
    return set().union(*parts)


def scan_graphs(function):
    """(name, inner graph) of each scan of a compiled function."""
    if hasattr(function.vm, "scans"):  # the XLA engine's
        return list(function.vm.scans.items())
    nodes = function.maker.fgraph.toposort()
    return [(n.op.name, n.op.fn.maker.fgraph) for n in nodes if isinstance(n.op, Scan)]
