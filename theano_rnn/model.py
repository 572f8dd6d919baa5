"""The recurrent language model: forward pass, gradients, compiled functions.

In reading order, and nowhere else in the package: `unroll`, the forward pass with ``aesara.scan``; `gradients`, the
one ``T.grad``, which differentiates through the scan and so *is* backpropagation through time; `compile_functions`;
then `RNNLM`, which joins embedding, cell and output layer into a model of the next token:

    x_t = embedding[token_t]
    h_t = f(x_t W_xh + h_tm1 W_hh + b_h)
    P(token_t+1 | token_1 .. token_t) = softmax(h_t W_hy + b_y)

(Mikolov et al. 2010.) The three functions know nothing of language and serve other models as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import aesara
import aesara.tensor as T
import numpy as np
from aesara.graph.basic import io_toposort
from aesara.scalar.basic import Exp, Tanh
from aesara.scalar.math import Sigmoid
from aesara.tensor.math import Dot
from aesara.tensor.var import TensorVariable

from theano_rnn.cells import make_cell
from theano_rnn.config import ModelConfig
from theano_rnn.engine import CompileProgress, compile_function, in_batch, sum_over_devices
from theano_rnn.initializers import normal, uniform
from theano_rnn.losses import cross_entropy, masked_mean
from theano_rnn.optimizers import OPTIMIZERS, RowGradient, clip_global_norm

EMBEDDING_SCALE = 0.03  # small, so that a vector soon is what has been learned of its word, not where it began
FEW_ROWS = 300  # of an embedding so small a batch names most, many times: it is projected and updated as a whole
FUNCTION_NAMES = ("train", "predict", "loss", "step")


def unroll(
    cell: Any,
    projected: TensorVariable,
    mask: TensorVariable,
    state: Sequence[TensorVariable],
    *,
    params: Mapping[str, Any],
    context: Sequence[TensorVariable] = (),
    backwards: bool = False,
) -> tuple[TensorVariable, list[TensorVariable]]:
    """Outputs of `cell` at every time step, and the state after the last.

    As a plain loop::

        for t in range(time):                          # from the end where `backwards`
            output[t], *new = cell.step(projected[t], *state, *params, *context)
            state = new where mask[t] else state       # a masked step copies the state

    Parameters
    ----------
    projected : float (time, batch, units)
        What ``cell.project`` made of the inputs.
    mask : float (time, batch)
        1 for a real step, 0 for padding.
    state : sequence of float (batch, units)
        As in ``cell.initial_state``.
    params : mapping
        Values for the names in ``cell.recurrent``: the cell's own parameters, or dropped or averaged ones.
    context
        What every step may look at besides, passed on to ``cell.step``.

    Returns
    -------
    outputs : float (time, batch, hidden)
        In the order of the input also where `backwards`; at masked steps they mean nothing.
    final state : list of float (batch, units)

    Raises
    ------
    ValueError
        The number of states is not the cell's.
    """
    if len(state) != cell.num_states:
        raise ValueError(f"the cell has {cell.num_states} states, got {len(state)}")
    fixed = [params[name] for name in cell.recurrent] + list(context)

    def masked_step(projected_t: Any, mask_t: Any, *rest: Any) -> list[Any]:
        state_tm1, arguments = rest[: cell.num_states], rest[cell.num_states :]
        output_t, *state_t = cell.step(projected_t, *state_tm1, *arguments)
        is_real = mask_t.dimshuffle(0, "x")  # (batch, 1)
        kept = costly([output_t, *state_t], given=[projected_t, *rest])
        return [*(T.switch(is_real, new, old) for new, old in zip(state_t, state_tm1)), output_t, *kept]

    num_kept = len(costly(cell.step(projected[0], *state, *fixed), given=[projected, *state, *fixed]))
    traces, _ = aesara.scan(
        masked_step,
        sequences=[projected, mask],
        outputs_info=[*state, None, *[None] * num_kept],
        non_sequences=fixed,
        go_backwards=backwards,
        strict=True,
        name=f"unroll_{type(cell).__name__}",
        return_list=True,
    )
    outputs = traces[cell.num_states]  # (time, batch, hidden)
    return outputs[::-1] if backwards else outputs, [trace[-1] for trace in traces[: cell.num_states]]


def costly(results: Sequence[TensorVariable], *, given: Sequence[Any]) -> list[TensorVariable]:
    """Products and transcendental functions between `given` and `results`, those nearer to `results` first.

    The gradient of a scan computes again whatever of a step is not one of the scan's outputs. `unroll` makes these
    outputs too; Aesara removes those that no gradient needs.
    """
    nodes = list(io_toposort(list(given), list(results)))
    return [node.outputs[0] for node in reversed(nodes) if is_costly(node.op) and node.outputs[0] not in results]


def is_costly(op: Any) -> bool:
    """Whether an operation is worth storing rather than computing again."""
    return isinstance(op, Dot) or isinstance(getattr(op, "scalar_op", None), (Tanh, Sigmoid, Exp))


def gradients(loss: TensorVariable, params: Mapping[str, Any]) -> dict[str, TensorVariable]:
    """The gradient of `loss` with respect to every parameter, by name, in one call of ``T.grad``."""
    with aesara.config.change_flags(floatX=loss.dtype):  # of a scan's inner gradients, float64 unless told otherwise
        return dict(zip(params, T.grad(loss, list(params.values()))))


class Functions(NamedTuple):
    """The compiled functions of a model; those not asked for are None.

    All ids are int32; `tokens`, `targets` and `mask` are (time, batch), a state is (batch, units).

    train(tokens, targets, mask, *state, learning_rate) -> [loss, *state]
        One update. The loss, in nats per real token of the batch, is the one before the update.
    predict(tokens, mask, *state) -> [log-probabilities (time, batch, vocab), *state]
    loss(tokens, targets, mask, *state) -> [negative log-likelihood in nats (time, batch), 0 where masked, *state]
    step(tokens_t, *state) -> [log-probabilities (batch, vocab), *state]
        One token for each column: the cost of a token does not grow with what came before.
    """

    train: Callable[..., list[Any]] | None = None
    predict: Callable[..., list[Any]] | None = None
    loss: Callable[..., list[Any]] | None = None
    step: Callable[..., list[Any]] | None = None


def compile_functions(
    graphs: Mapping[str, tuple[Sequence[Any], Sequence[Any], Mapping[Any, Any]]],
    *,
    engine: str = "c",
    device: str = "auto",
    num_devices: int | None = 1,
    progress: CompileProgress | None = None,
) -> dict[str, Callable[..., list[Any]]]:
    """Compile each ``name: (inputs, outputs, updates)``; `progress` is called as the engine's compiler works."""
    return {
        name: compile_function(
            list(inputs),
            list(outputs),
            list(updates.items()),
            name=name,
            engine=engine,
            device=device,
            num_devices=num_devices,
            progress=progress,
        )
        for name, (inputs, outputs, updates) in graphs.items()
    }


class RNNLM:
    """A recurrent model of the next token.

    Parameters
    ----------
    config : ModelConfig
        ``vocab_size`` is the number of columns of the output; the embedding has two rows more, for padding and for
        the start of a sentence, which are never predicted.
    rng : np.random.Generator
        Of the initial parameters: the embedding normal with standard deviation 0.03, the cell's ``W_xh`` so large that
        the units see the words all the same (else ``W_hh`` grows until they saturate), the output layer uniform in
        +-0.01/sqrt(hidden_size), so that the first loss is ln(vocab_size), its bias zero. (Penn Treebank, validation
        perplexity after one epoch of the default training: 216 from standard normal vectors, 171 from these.)

    Attributes
    ----------
    params : dict of shared variables by role: ``embedding``, ``layer0.W_xh``, ..., ``W_hy``, ``b_y``
    optimizer_state : dict of shared variables; empty until ``train`` is compiled
    """

    def __init__(self, config: ModelConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        dtype = config.dtype
        self.cell = make_cell(
            config.cell, config.embedding_size, config.hidden_size, input_scale=EMBEDDING_SCALE, rng=rng, dtype=dtype
        )
        values = {
            "embedding": EMBEDDING_SCALE * normal((config.vocab_size + 2, config.embedding_size), rng=rng),
            "W_hy": 0.01 * uniform((config.hidden_size, config.vocab_size), rng=rng),
            "b_y": np.zeros(config.vocab_size),
        }
        shared = {name: aesara.shared(value.astype(dtype), name=name) for name, value in values.items()}
        layer = {f"layer0.{name}": p for name, p in self.cell.params.items()}
        self.params = {"embedding": shared["embedding"], **layer, "W_hy": shared["W_hy"], "b_y": shared["b_y"]}
        self.optimizer_state: dict[str, Any] = {}

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Zeros, as NumPy arrays (batch_size, hidden_size)."""
        state: tuple[Any, ...] = self.cell.initial_state(batch_size)
        return state

    def embedded(self, tokens: Any) -> TensorVariable:
        """Word vectors of all tokens: (time, batch) -> (time * batch, embedding_size)."""
        return self.params["embedding"][tokens.flatten()]

    def inputs(self, tokens: Any) -> tuple[TensorVariable, TensorVariable]:
        """Word vectors, and what the cell makes of them for all tokens: (time, batch) -> (time * batch, units).

        The vectors are those of all tokens or, of a vocabulary so small that a batch repeats all of it, those of the
        vocabulary: ``(embedding W_xh + b_h)[tokens]`` needs fewer products than ``embedding[tokens] W_xh + b_h``.
        """
        if self.config.vocab_size <= FEW_ROWS:
            x = self.params["embedding"]
            return x, self.cell.project(x, self.cell.params)[tokens.flatten()]
        x = self.embedded(tokens)
        return x, self.cell.project(x, self.cell.params)

    def hidden(self, projected: Any, mask: Any, state: Sequence[Any]) -> tuple[TensorVariable, list[TensorVariable]]:
        """Hidden vectors (time * batch, hidden_size) and the final state."""
        time, batch = mask.shape[0], mask.shape[1]
        projected = projected.reshape((time, batch, projected.shape[1]))
        outputs, final = unroll(self.cell, projected, mask, state, params=self.cell.params)
        return outputs.reshape((time * batch, self.cell.hidden_size)), final

    def losses(
        self, projected: Any, targets: Any, mask: Any, state: Any
    ) -> tuple[TensorVariable, list[TensorVariable]]:
        """Negative log-likelihoods in nats (time, batch), and the final state."""
        h, final = self.hidden(projected, mask, state)
        scores = T.dot(h, self.params["W_hy"])
        return cross_entropy(scores, self.params["b_y"], targets.flatten()).reshape(mask.shape), final

    def log_probabilities(self, h: Any) -> TensorVariable:
        """Of every next token: h (rows, hidden) -> (rows, vocab)."""
        return T.special.log_softmax(T.dot(h, self.params["W_hy"]) + self.params["b_y"], axis=-1)

    def graph(
        self, name: str, *, optimizer: str = "sgd", clip_norm: float = 0.0, is_divided: bool = False
    ) -> tuple[list[Any], list[Any], dict[Any, Any]]:
        """Inputs, outputs and updates of one of the functions, before compilation.

        `is_divided`: several devices will have a part of each batch.
        """
        dtype = self.config.dtype
        tokens, targets = in_batch(T.imatrix("tokens"), 1), in_batch(T.imatrix("targets"), 1)
        tokens_t, mask = in_batch(T.ivector("tokens_t"), 0), in_batch(T.matrix("mask", dtype=dtype), 1)
        learning_rate = T.scalar("learning_rate", dtype=dtype)
        state = [in_batch(T.matrix(f"state{i}", dtype=dtype), 0) for i in range(self.cell.num_states)]
        if name == "step":
            x_t = self.embedded(tokens_t)  # (batch, embedding)
            fixed = [self.cell.params[role] for role in self.cell.recurrent]
            h_t, *state_t = self.cell.step(self.cell.project(x_t, self.cell.params), *state, *fixed)
            final = [in_batch(new, 0) for new in state_t]
            return [tokens_t, *state], [in_batch(self.log_probabilities(h_t), 0), *final], {}
        x, projected = self.inputs(tokens)
        if name == "predict":
            h, final = self.hidden(projected, mask, state)
            shape = (tokens.shape[0], tokens.shape[1], self.config.vocab_size)
            log_p = in_batch(self.log_probabilities(h).reshape(shape), 1)
            return [tokens, mask, *state], [log_p, *(in_batch(new, 0) for new in final)], {}
        losses, final = self.losses(projected, targets, mask, state)
        final = [in_batch(new, 0) for new in final]
        if name == "loss":
            return [tokens, targets, mask, *state], [in_batch(losses * mask, 1), *final], {}
        loss = masked_mean(losses, mask, summed=sum_over_devices if is_divided else None)
        grads: dict[str, Any]
        if is_divided:
            grads = {role: sum_over_devices(g) for role, g in gradients(loss, self.params).items()}
        elif self.config.vocab_size > FEW_ROWS:
            grads = gradients(loss, self.params | {"embedding": x})
            grads["embedding"] = RowGradient(grads["embedding"], tokens.flatten(), self.config.vocab_size + 2)
        else:
            grads = gradients(loss, self.params)
        if clip_norm > 0:
            grads = clip_global_norm(grads, clip_norm)
        updates, self.optimizer_state = OPTIMIZERS[optimizer](self.params, grads, learning_rate)
        return [tokens, targets, mask, *state, learning_rate], [loss, *final], updates

    def compile(
        self,
        *names: str,
        optimizer: str = "sgd",
        clip_norm: float = 0.0,
        engine: str = "c",
        device: str = "auto",
        num_devices: int | None = 1,
        progress: CompileProgress | None = None,
    ) -> Functions:
        """Compile the named functions, all four where none is named; this takes seconds, the first time more.

        Raises
        ------
        ValueError
            An unknown name.
        UserError
            The engine cannot run here; the message says what to install.
        """
        unknown = [name for name in names if name not in FUNCTION_NAMES]
        if unknown:
            raise ValueError(f"functions are {', '.join(FUNCTION_NAMES)}, got {unknown[0]!r}")
        options: dict[str, Any] = {"optimizer": optimizer, "clip_norm": clip_norm, "is_divided": num_devices != 1}
        graphs = {name: self.graph(name, **options) for name in names or FUNCTION_NAMES}
        return Functions(
            **compile_functions(graphs, engine=engine, device=device, num_devices=num_devices, progress=progress)
        )
