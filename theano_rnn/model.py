"""The recurrent language model: forward pass, gradients, compiled functions.

In reading order: `unrolling.unroll`, the forward pass with ``aesara.scan``; `gradients`, the one ``T.grad``,
which differentiates through the scan and so *is* backpropagation through time; `compile_functions`; `WordModel`, what
models of words share; then `RNNLM`, which joins embedding, layers and head into a model of the next token:

    x_t = embedding[token_t]
    h_t = f(x_t W_xh + h_tm1 W_hh + b_h)
    P(token_t+1 | token_1 .. token_t) = softmax(h_t W_hy + b_y)

(Mikolov et al. 2010.) The three functions know nothing of language and serve other models as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import aesara
import aesara.tensor as T
import numpy as np
from aesara.tensor.var import TensorVariable

from theano_rnn.engine.compiling import CompileProgress, compile_function
from theano_rnn.engine.parallel import first_column, in_batch, sum_over_devices
from theano_rnn.engine.static_shapes import cheap_static_shapes
from theano_rnn.learning.gradients import RowGradient, squared_norm
from theano_rnn.learning.updates import UpdateRule
from theano_rnn.nn.adaptive_head import AdaptiveHead
from theano_rnn.nn.heads import SoftmaxHead
from theano_rnn.nn.initializers import normal
from theano_rnn.nn.layers import Layers
from theano_rnn.nn.losses import masked_mean
from theano_rnn.nn.noise import Noise
from theano_rnn.nn.regularization import Dropout, penalties
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.training import RegularizationConfig, check_head, resolved_head

EMBEDDING_SCALE = 0.1  # small, so that a vector soon is what has been learned of its word, not where it began
FEW_ROWS = 300  # of an embedding so small a batch names most, many times: it is projected and updated as a whole


@cheap_static_shapes()
def gradients(loss: TensorVariable, params: Mapping[str, Any]) -> dict[str, TensorVariable]:
    """The gradient of `loss` with respect to every parameter, by name, in one call of ``T.grad``."""
    with aesara.config.change_flags(floatX=loss.dtype):  # of a scan's inner gradients, float64 unless told otherwise
        return dict(zip(params, T.grad(loss, list(params.values()))))


def norms_of(*rows: Iterable[Any]) -> TensorVariable:
    """The L2 norms of variables or gradients, row by row."""
    return T.sqrt(T.stack([T.stack([squared_norm(each) for each in row]) for row in rows]))


class Functions(NamedTuple):
    """The compiled functions of a model; those not asked for are None.

    All ids are int32; `tokens`, `targets` and `mask` are (time, batch), a state is (batch, units).

    train(tokens, targets, mask, *state, learning_rate) -> [loss, *state]
        One update. The loss, in nats per real token of the batch, is the one before the update.
        Compiled `with_norms` it returns these, too, last.
    predict(tokens, mask, *state) -> [log-probabilities (time, batch, vocab), *state]
    loss(tokens, targets, mask, *state) -> [negative log-likelihood in nats (time, batch), 0 where masked, *state]
    step(tokens_t, *state) -> [log-probabilities (batch, vocab), *state]
        One token for each column: the cost of a token does not grow with what came before.
    features(tokens, targets, mask, *state) -> [as loss, what the head sees (time, batch, hidden), *state]

    A model that sees the future has no `step`, and its `predict` takes targets too, of which it sees the others.
    """

    train: Callable[..., list[Any]] | None = None
    predict: Callable[..., list[Any]] | None = None
    loss: Callable[..., list[Any]] | None = None
    step: Callable[..., list[Any]] | None = None
    features: Callable[..., list[Any]] | None = None


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


def make_layers(config: ModelConfig, *, rng: np.random.Generator) -> Layers:
    """The recurrent layers that `config` describes, the first one's ``W_xh`` made for a small embedding."""
    return Layers(
        config.cell, config.embedding_size, config.hidden_size, config.num_layers, is_residual=config.residual,
        input_scale=EMBEDDING_SCALE, recurrent_init=config.recurrent_init, rng=rng, dtype=config.dtype,
    )  # fmt: skip


def run_layers(
    layers: Layers, projected: Any, mask: Any, state: Sequence[Any], dropout: Dropout, *, backwards: bool = False
) -> tuple[TensorVariable, list[TensorVariable]]:
    """`Layers.run` with what `dropout` drops between layers and from recurrent matrices."""
    return layers.run(
        projected, mask, state, recurrent=dropout.recurrent, between=lambda x: dropout.units(x, "layer"),
        backwards=backwards,
    )  # fmt: skip


class Hidden(NamedTuple):
    """What a model makes of a batch, before its head.

    `h`: (time, batch, units); `final`: the state after it; `x`: the embedding's rows for `ids`, (ids, embedding_size),
    or the embedding itself where `ids` is None.
    """

    h: Any
    final: list[Any]
    x: Any
    ids: Any


class WordModel:
    """What models that give probabilities to words share: an embedding, a head, and how an update is made.

    Abstract: a model says in `hidden` what comes between the two.

    Parameters
    ----------
    config : ModelConfig
        ``vocab_size`` is the number of columns of the output; the embedding has two rows more, for padding and for
        the start of a sentence, which are never predicted.
    layers : mapping
        The `Layers` by the prefix of their parameters' names.
    num_features : int
        Units that the head sees.
    rng : np.random.Generator
        Of the initial embedding, normal with standard deviation 0.1, and of the head.

    Attributes
    ----------
    params : dict of shared variables by role: ``embedding``, ``layer0.W_xh``, ..., ``W_hy``, ``b_y``
    optimizer_state : dict of shared variables; empty until ``train`` is compiled
    averages : dict of shared variables by role
        Of the parameters, where ``train`` keeps averages; part of `optimizer_state`.
    """

    names: tuple[str, ...] = ("train", "predict", "loss")

    def __init__(
        self, config: ModelConfig, layers: Mapping[str, Layers], num_features: int, *, rng: np.random.Generator
    ) -> None:
        config = resolved_head(config)
        self.config, self.num_features = config, num_features
        values = EMBEDDING_SCALE * normal((config.vocab_size + 2, config.embedding_size), rng=rng)
        self.embedding = aesara.shared(values.astype(config.dtype), name="embedding")
        self.head = self.make_head(rng)
        named = {prefix + name: p for prefix, these in layers.items() for name, p in these.params.items()}
        self.params: dict[str, Any] = {"embedding": self.embedding, **named, **self.head.params}
        self.optimizer_state: dict[str, Any] = {}
        self.averages: dict[str, Any] = {}

    def make_head(self, rng: np.random.Generator) -> Any:
        """The head that the config describes."""
        config = self.config
        options: dict[str, Any] = {"embedding": self.embedding if config.tie_weights else None}
        options |= {"rng": rng, "dtype": config.dtype}
        if config.head == "adaptive":
            return AdaptiveHead(self.num_features, config.vocab_size, config.cutoffs, **options)
        return SoftmaxHead(self.num_features, config.vocab_size, **options)

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """The state before the first batch of a text: NumPy arrays (batch_size, units)."""
        raise NotImplementedError

    def hidden(self, tokens: Any, targets: Any, mask: Any, state: Sequence[Any], dropout: Dropout) -> Hidden:
        """From ids (time, batch) to what the head sees of every time step."""
        raise NotImplementedError

    def looked_up(self, ids: Any, dropout: Dropout) -> tuple[TensorVariable, TensorVariable]:
        """Word vectors of ids (time, batch): as they are (time * batch, size), and dropped (time, batch, size)."""
        flat, words = ids.flatten(), dropout.words(self.config.vocab_size + 2)
        x = self.embedding[flat]
        vectors = x if words is None else x * words[flat].dimshuffle(0, "x")
        return x, dropout.units(vectors.reshape((ids.shape[0], ids.shape[1], vectors.shape[1])), "input")

    @cheap_static_shapes()
    def graph(
        self,
        name: str,
        *,
        regularization: RegularizationConfig | None = None,
        seed: int = 1,
        is_divided: bool = False,
        update: Any = None,
        with_norms: bool = False,
        **rule: Any,
    ) -> tuple[list[Any], list[Any], dict[Any, Any]]:
        """Inputs, outputs and updates of one of the functions, before compilation.

        The last inputs of ``train``, ``loss`` and ``features`` are those of the head.
        `is_divided`: several devices will have a part of each batch. `rule`: as of `UpdateRule`, unless `update` is
        given, which then makes the updates. `with_norms`: ``train`` has one output more, float (2, parameters), the L2
        norms of the gradients as they come, before clipping, and of the parameters before the update.
        """
        dtype = self.config.dtype
        tokens, targets = in_batch(T.imatrix("tokens"), 1), in_batch(T.imatrix("targets"), 1)
        mask, learning_rate = in_batch(T.matrix("mask", dtype=dtype), 1), T.scalar("learning_rate", dtype=dtype)
        state = self.symbolic_state()
        regularization = regularization or RegularizationConfig()
        count = aesara.shared(np.zeros((), "int32"), name="steps")
        first = first_column(mask.shape[1]) if is_divided else 0
        noise = Noise(seed, count, first=first, dtype=dtype) if name == "train" else None
        dropout = Dropout(regularization, noise)
        hidden = self.hidden(tokens, targets, mask, state, dropout)
        final = [in_batch(new, 0) for new in hidden.final]
        dropped = dropout.units(hidden.h, "output")
        rows = dropped.reshape((tokens.shape[0] * tokens.shape[1], self.num_features))
        if name == "predict":
            log_p = self.head.log_probabilities(rows)
            log_p = in_batch(log_p.reshape((tokens.shape[0], tokens.shape[1], self.config.vocab_size)), 1)
            return [*self.seen(tokens, targets), mask, *state], [log_p, *final], {}
        if name in ("loss", "features"):
            losses = self.head.losses(rows, targets.flatten()).reshape(mask.shape)
            outputs = [losses * mask, hidden.h][: 1 + (name == "features")]
            return [tokens, targets, mask, *state, *self.head.inputs], [*(in_batch(o, 1) for o in outputs), *final], {}
        if regularization.label_smoothing:
            pair = self.head.smoothed_losses(rows, targets.flatten(), regularization.label_smoothing)
            losses, objective = (values.reshape(mask.shape) for values in pair)
        else:
            losses = objective = self.head.losses(rows, targets.flatten()).reshape(mask.shape)
        added = penalties(regularization, dropped, hidden.h, mask)
        summed = sum_over_devices if is_divided else None
        loss = masked_mean(losses, mask, summed=summed)
        minimized = masked_mean(objective if added is None else objective + added, mask, summed=summed)
        grads = self.gradients(minimized, hidden.x, hidden.ids, is_divided=is_divided)
        update = update or UpdateRule(**rule)
        updates, self.optimizer_state, self.averages = update.apply(self.params, grads, learning_rate)
        if noise is not None and noise.num_sites:
            updates[count] = count + np.int32(1)
            self.optimizer_state["steps"] = count
        norms = [norms_of(grads.values(), self.params.values())] if with_norms else []
        return [tokens, targets, mask, *state, learning_rate, *self.head.inputs], [loss, *final, *norms], updates

    def seen(self, tokens: Any, targets: Any) -> list[Any]:
        """What ``predict`` takes of the two."""
        return [tokens]

    def symbolic_state(self) -> list[Any]:
        """Variables for `initial_state`."""
        dtype = self.config.dtype
        return [in_batch(T.matrix(f"state{i}", dtype=dtype), 0) for i in range(len(self.initial_state(1)))]

    def gradients(self, loss: Any, x: Any, ids: Any, *, is_divided: bool) -> dict[str, Any]:
        """The gradient of every parameter, the embedding's by rows where `x` is rows of it and that is all of it."""
        if is_divided:
            return {role: sum_over_devices(g) for role, g in gradients(loss, self.params).items()}
        if ids is None or self.config.tie_weights:
            return gradients(loss, self.params)
        grads: dict[str, Any] = gradients(loss, self.params | {"embedding": x})
        grads["embedding"] = RowGradient(grads["embedding"], ids.flatten(), self.config.vocab_size + 2)
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
        """Compile the named functions, all but ``features`` where none is; this takes seconds, the first time more.

        Parameters
        ----------
        training
            Of ``train``, as `graph` takes them: `optimizer`, `clip_norm`, `clip_value`, `weight_decay`,
            `average_decay`, `regularization` and `seed` of what is dropped, or `update`; `with_norms`. The others drop
            nothing.

        Raises
        ------
        ValueError
            An unknown name.
        UserError
            The engine cannot run here; the message says what to install. Or the head cannot do what is asked.
        """
        known = (*self.names, "features")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"functions are {', '.join(known)}, got {unknown[0]!r}")
        check_head(self.config, training.get("regularization") or RegularizationConfig(), num_devices)
        options = {"is_divided": num_devices != 1, **training}
        graphs = {name: self.graph(name, **options) for name in names or self.names}
        functions = compile_functions(graphs, engine=engine, device=device, num_devices=num_devices, progress=progress)
        if self.head.inputs:
            for name in functions.keys() & {"train", "loss", "features"}:
                functions[name] = self.preparing(functions[name])
        return Functions(**functions)

    def preparing(self, function: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        """A compiled function that is given, after its arguments, what the head makes of targets and mask."""

        def prepared(tokens: Any, targets: Any, mask: Any, *rest: Any) -> list[Any]:
            return function(tokens, targets, mask, *rest, *self.head.prepare(targets, mask))

        return prepared


class RNNLM(WordModel):
    """A recurrent model of the next token.

    Parameters
    ----------
    config, rng
        As of `WordModel`. The first layer's ``W_xh`` is so large that the units see the words though the embedding is
        small (else ``W_hh`` grows until they saturate), the output layer so small that the first loss is
        ln(vocab_size). (The novels, LSTM, validation perplexity after one epoch: 120.1 where ``W_xh`` is not larger,
        105.2 from these; from vectors of 0.03 it was 102.0, and worse after four epochs.)
    layers : optional
        In place of `Layers` that `config` describes.

    Raises
    ------
    ValueError
        `layers` see the future: such a model would read the token that it is to predict.
    """

    names = ("train", "predict", "loss", "step")

    def __init__(self, config: ModelConfig, *, rng: np.random.Generator, layers: Any = None) -> None:
        self.layers = layers or make_layers(config, rng=rng)
        if self.layers.sees_future:
            raise ValueError(
                "a model of the next token cannot have layers that see the future: it would read its target"
            )
        super().__init__(config, {"": self.layers}, config.hidden_size, rng=rng)

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Zeros, as NumPy arrays (batch_size, hidden_size), those of the first layer first."""
        return self.layers.initial_state(batch_size)

    def hidden(self, tokens: Any, targets: Any, mask: Any, state: Sequence[Any], dropout: Dropout) -> Hidden:
        """Outputs of the last layer; the layers see `tokens` alone.

        Of a vocabulary so small that a batch repeats all of it, the whole embedding is projected:
        ``(embedding W_xh + b_h)[tokens]`` needs fewer products than ``embedding[tokens] W_xh + b_h``.
        """
        if self.config.vocab_size + 2 <= FEW_ROWS and not dropout.rate("input"):
            words = dropout.words(self.config.vocab_size + 2)
            table = self.embedding if words is None else self.embedding * words.dimshuffle(0, "x")
            x, ids, projected = self.embedding, None, self.layers.project(table)[tokens.flatten()]
            projected = projected.reshape((tokens.shape[0], tokens.shape[1], projected.shape[1]))
        else:
            ids = tokens
            x, vectors = self.looked_up(tokens, dropout)
            projected = self.layers.project_over_time(vectors)
        return Hidden(*run_layers(self.layers, projected, mask, state, dropout), x, ids)

    def graph(self, name: str, **options: Any) -> tuple[list[Any], list[Any], dict[Any, Any]]:
        """As of every `WordModel`, and of ``step``, one token for each column."""
        if name != "step":
            return super().graph(name, **options)
        tokens_t, state = in_batch(T.ivector("tokens_t"), 0), self.symbolic_state()
        h_t, final = self.layers.step(self.embedding[tokens_t], state)
        return [tokens_t, *state], [in_batch(new, 0) for new in (self.head.log_probabilities(h_t), *final)], {}
