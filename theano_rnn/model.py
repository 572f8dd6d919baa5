"""The recurrent language model: forward pass, gradients, compiled functions.

In reading order: `unrolling.unroll`, the forward pass with ``aesara.scan``; `gradients`, the one ``T.grad``,
which differentiates through the scan and so *is* backpropagation through time; `compile_functions`; then `RNNLM`, which
joins embedding, layers and head into a model of the next token:

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
from aesara.tensor.var import TensorVariable

from theano_rnn.config import ModelConfig, RegularizationConfig
from theano_rnn.engine import CompileProgress, compile_function, first_column, in_batch, sum_over_devices
from theano_rnn.heads import SoftmaxHead
from theano_rnn.initializers import normal
from theano_rnn.layers import Layers
from theano_rnn.losses import masked_mean
from theano_rnn.noise import Noise
from theano_rnn.optimizers import (
    OPTIMIZERS,
    RowGradient,
    add_weight_decay,
    averages,
    clip_global_norm,
    exponential_average,
)
from theano_rnn.optimizers import clip_value as clip_by_value
from theano_rnn.regularization import Dropout, penalties

EMBEDDING_SCALE = 0.03  # small, so that a vector soon is what has been learned of its word, not where it began
FEW_ROWS = 300  # of an embedding so small a batch names most, many times: it is projected and updated as a whole
FUNCTION_NAMES = ("train", "predict", "loss", "step")


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
        Of the initial parameters: the embedding normal with standard deviation 0.03, the first layer's ``W_xh`` so
        large that the units see the words all the same (else ``W_hh`` grows until they saturate), the output layer so
        small that the first loss is ln(vocab_size). (Penn Treebank, validation perplexity after one epoch of the
        default training: 216 from standard normal vectors, 171 from these.)

    Attributes
    ----------
    params : dict of shared variables by role: ``embedding``, ``layer0.W_xh``, ..., ``W_hy``, ``b_y``
    optimizer_state : dict of shared variables; empty until ``train`` is compiled
    averages : dict of shared variables by role
        Of the parameters, where ``train`` keeps averages; part of `optimizer_state`.
    """

    def __init__(self, config: ModelConfig, *, rng: np.random.Generator) -> None:
        self.config = config
        options: dict[str, Any] = {"rng": rng, "dtype": config.dtype}
        self.layers = Layers(
            config.cell, config.embedding_size, config.hidden_size, config.num_layers,
            is_residual=config.residual, input_scale=EMBEDDING_SCALE, recurrent_init=config.recurrent_init, **options,
        )  # fmt: skip
        values = EMBEDDING_SCALE * normal((config.vocab_size + 2, config.embedding_size), rng=rng)
        self.embedding = aesara.shared(values.astype(config.dtype), name="embedding")
        tied = self.embedding if config.tie_weights else None
        self.head = SoftmaxHead(config.hidden_size, config.vocab_size, embedding=tied, **options)
        self.params: dict[str, Any] = {"embedding": self.embedding, **self.layers.params, **self.head.params}
        self.optimizer_state: dict[str, Any] = {}
        self.averages: dict[str, Any] = {}

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Zeros, as NumPy arrays (batch_size, hidden_size), those of the first layer first."""
        return self.layers.initial_state(batch_size)

    def inputs(self, tokens: Any, dropout: Dropout) -> tuple[TensorVariable, TensorVariable]:
        """Word vectors as they were looked up, and what the first layer makes of them (time, batch, units).

        The vectors are those of all tokens (time * batch, embedding_size) or, of a vocabulary so small that a batch
        repeats all of it, the embedding: ``(embedding W_xh + b_h)[tokens]`` needs fewer products than
        ``embedding[tokens] W_xh + b_h``.
        """
        words, ids, num_rows = dropout.words(self.config.vocab_size + 2), tokens.flatten(), self.config.vocab_size + 2
        if num_rows <= FEW_ROWS and not dropout.rate("input"):
            x = self.embedding
            projected = self.layers.project(x if words is None else x * words.dimshuffle(0, "x"))[ids]
        else:
            x = self.embedding[ids]
            vectors = x if words is None else x * words[ids].dimshuffle(0, "x")
            vectors = vectors.reshape((tokens.shape[0], tokens.shape[1], vectors.shape[1]))
            vectors = dropout.units(vectors, "input")
            projected = self.layers.project(vectors.reshape((ids.shape[0], vectors.shape[2])))
        return x, projected.reshape((tokens.shape[0], tokens.shape[1], projected.shape[1]))

    def outputs(
        self, projected: Any, mask: Any, state: Sequence[Any], dropout: Dropout
    ) -> tuple[TensorVariable, list[TensorVariable]]:
        """What the last layer gives (time, batch, hidden_size), and the final state."""
        return self.layers.run(
            projected, mask, state, recurrent=dropout.recurrent, between=lambda x: dropout.units(x, "layer")
        )

    def graph(
        self,
        name: str,
        *,
        optimizer: str = "sgd",
        clip_norm: float = 0.0,
        clip_value: float = 0.0,
        weight_decay: float = 0.0,
        average_decay: float = 0.0,
        regularization: RegularizationConfig | None = None,
        seed: int = 1,
        is_divided: bool = False,
    ) -> tuple[list[Any], list[Any], dict[Any, Any]]:
        """Inputs, outputs and updates of one of the functions, before compilation.

        `is_divided`: several devices will have a part of each batch.
        """
        dtype = self.config.dtype
        tokens, targets = in_batch(T.imatrix("tokens"), 1), in_batch(T.imatrix("targets"), 1)
        tokens_t, mask = in_batch(T.ivector("tokens_t"), 0), in_batch(T.matrix("mask", dtype=dtype), 1)
        learning_rate = T.scalar("learning_rate", dtype=dtype)
        state = [in_batch(T.matrix(f"state{i}", dtype=dtype), 0) for i in range(self.layers.num_states)]
        if name == "step":
            h_t, final = self.layers.step(self.embedding[tokens_t], state)
            outputs = [in_batch(new, 0) for new in (self.head.log_probabilities(h_t), *final)]
            return [tokens_t, *state], outputs, {}
        regularization = regularization or RegularizationConfig()
        count = aesara.shared(np.zeros((), "int32"), name="steps")
        first = first_column(mask.shape[1]) if is_divided else 0
        noise = Noise(seed, count, first=first, dtype=dtype) if name == "train" else None
        dropout = Dropout(regularization, noise)
        x, projected = self.inputs(tokens, dropout)
        h, final = self.outputs(projected, mask, state, dropout)
        final = [in_batch(new, 0) for new in final]
        dropped = dropout.units(h, "output")
        rows = dropped.reshape((tokens.shape[0] * tokens.shape[1], self.config.hidden_size))
        if name == "predict":
            log_p = self.head.log_probabilities(rows)
            shape = (tokens.shape[0], tokens.shape[1], self.config.vocab_size)
            return [tokens, mask, *state], [in_batch(log_p.reshape(shape), 1), *final], {}
        if name == "loss":
            losses = self.head.losses(rows, targets.flatten()).reshape(mask.shape)
            return [tokens, targets, mask, *state], [in_batch(losses * mask, 1), *final], {}
        if regularization.label_smoothing:
            pair = self.head.smoothed_losses(rows, targets.flatten(), regularization.label_smoothing)
            losses, objective = (values.reshape(mask.shape) for values in pair)
        else:
            losses = objective = self.head.losses(rows, targets.flatten()).reshape(mask.shape)
        added = penalties(regularization, dropped, h, mask)
        summed = sum_over_devices if is_divided else None
        loss = masked_mean(losses, mask, summed=summed)
        minimized = masked_mean(objective if added is None else objective + added, mask, summed=summed)
        grads = self.gradients(minimized, x, tokens, is_divided=is_divided)
        if clip_value > 0:
            grads = clip_by_value(grads, clip_value)
        if clip_norm > 0:
            grads = clip_global_norm(grads, clip_norm)
        options: dict[str, Any] = {"weight_decay": weight_decay} if optimizer == "adamw" else {}
        if weight_decay > 0 and not options:
            grads = add_weight_decay(self.params, grads, weight_decay)
        updates, self.optimizer_state = OPTIMIZERS[optimizer](self.params, grads, learning_rate, **options)
        self.averages = averages(self.optimizer_state, "mean")  # asgd's
        if average_decay > 0:
            more, state_of_averages = exponential_average(self.params, updates, average_decay)
            updates, self.optimizer_state = updates | more, self.optimizer_state | state_of_averages
            self.averages = averages(state_of_averages, "ema")
        if noise is not None and noise.num_sites:
            updates[count] = count + np.int32(1)
            self.optimizer_state["steps"] = count
        return [tokens, targets, mask, *state, learning_rate], [loss, *final], updates

    def gradients(self, loss: Any, x: Any, tokens: Any, *, is_divided: bool) -> dict[str, Any]:
        """The gradient of every parameter, the embedding's by rows where `x` is rows of it and that is all of it."""
        if is_divided:
            return {role: sum_over_devices(g) for role, g in gradients(loss, self.params).items()}
        if x is self.embedding or self.config.tie_weights:
            return gradients(loss, self.params)
        grads: dict[str, Any] = gradients(loss, self.params | {"embedding": x})
        grads["embedding"] = RowGradient(grads["embedding"], tokens.flatten(), self.config.vocab_size + 2)
        return grads

    def compile(
        self,
        *names: str,
        engine: str = "c",
        device: str = "auto",
        num_devices: int | None = 1,
        progress: CompileProgress | None = None,
        **training: Any,
    ) -> Functions:
        """Compile the named functions, all four where none is named; this takes seconds, the first time more.

        Parameters
        ----------
        training
            Of ``train``, as `graph` takes them: `optimizer`, `clip_norm`, `clip_value`, `weight_decay`,
            `average_decay`, `regularization` and `seed` of what is dropped. The others drop nothing.

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
        options = {"is_divided": num_devices != 1, **training}
        graphs = {name: self.graph(name, **options) for name in names or FUNCTION_NAMES}
        return Functions(
            **compile_functions(graphs, engine=engine, device=device, num_devices=num_devices, progress=progress)
        )
