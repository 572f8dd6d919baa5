"""The encoder in both directions against PyTorch's bidirectional layers, and what may not be made of it."""

import aesara.tensor as T
import numpy as np
import pytest

from theano_rnn.engine.compiling import compile_function
from theano_rnn.model import RNNLM, gradients
from theano_rnn.nn.encoder import Encoder
from theano_rnn.nn.regularization import Dropout
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.training import RegularizationConfig

TIME, BATCH, INPUT, HIDDEN = 5, 3, 4, 6
CASES = [("jax", "tanh", 1), ("jax", "relu", 1), ("jax", "lstm", 2), ("jax", "gru", 3), ("c", "tanh", 1)]


def encoder(kind, num_layers):
    made = Encoder(kind, INPUT, HIDDEN, num_layers, rng=np.random.default_rng(0), dtype="float64")
    rng = np.random.default_rng(1)
    for parameter in made.params.values():
        parameter.set_value(rng.normal(0, 0.5, parameter.get_value().shape))
    return made


def inputs(made):
    rng = np.random.default_rng(2)
    mask = (np.arange(TIME)[:, None] < [TIME, 1, 3]).astype("float64")
    state = [rng.normal(size=(BATCH, HIDDEN)) for _ in range(made.num_states)]
    return rng.normal(size=(TIME, BATCH, INPUT)), mask, state, rng.normal(size=(TIME, BATCH, 2 * HIDDEN))


class Watched(Dropout):
    """Drops nothing, and notes which parameters the layers ask for."""

    def __init__(self, used):
        super().__init__(RegularizationConfig(), None)
        self.used = used

    def recurrent(self, name, param):
        self.used.append((name, param))
        return param


@pytest.mark.parametrize(("engine", "kind", "num_layers"), CASES)
@pytest.mark.slow
def test_pytorch_gives_the_same_outputs_final_states_and_gradients(engine, kind, num_layers, request):
    torch = pytest.importorskip("torch")
    from conftest import ENGINES
    from torch_layers import torch_gradients, torch_layers

    if engine not in ENGINES:
        pytest.skip(f"engine {engine} cannot run here")
    made = encoder(kind, num_layers)
    x, mask, state, weights = inputs(made)
    symbols = [T.dtensor3(), T.dmatrix(), *(T.dmatrix() for _ in state)]
    used = []
    h, final = made.run(symbols[0], symbols[1], symbols[2:], dropout=Watched(used))
    assert dict(used) == made.params
    loss = T.sum(h * symbols[1].dimshuffle(0, 1, "x") * weights)
    slopes = gradients(loss, made.params | {"x": symbols[0]})
    function = compile_function(symbols, [h, *final, *slopes.values()], engine=engine)
    outputs, *rest = map(np.asarray, function(x, mask, *state))
    finals, actual = np.array(rest[: made.num_states]), dict(zip(slopes, rest[made.num_states :]))

    directions = [f"{name}{level}." for level in range(num_layers) for name in ("forward", "backward")]
    params = [{name.removeprefix(prefix): p.get_value() for name, p in made.params.items() if name.startswith(prefix)}
              for prefix in directions]  # fmt: skip
    rnn = torch_layers(kind, params, directions=2)
    given = torch.tensor(x, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        given, torch.tensor(mask.sum(axis=0).astype("int64")), enforce_sorted=False
    )
    per_state = np.array(state).reshape(2 * num_layers, -1, BATCH, HIDDEN).swapaxes(0, 1)
    begin = tuple(map(torch.tensor, per_state))
    theirs, ends = rnn(packed, begin if kind == "lstm" else begin[0])
    theirs, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs)
    (theirs * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(outputs * mask[:, :, None], theirs.detach().numpy(), atol=1e-12)
    ends = np.stack([end.detach().numpy() for end in (ends if kind == "lstm" else (ends,))], axis=1)
    np.testing.assert_allclose(finals, ends.reshape(finals.shape), atol=1e-12)
    np.testing.assert_allclose(actual["x"], given.grad.numpy(), atol=1e-10)
    for prefix, expected in zip(directions, torch_gradients(kind, rnn, directions=2)):
        for name, slope in expected.items():
            np.testing.assert_allclose(actual[prefix + name], slope, atol=1e-10, err_msg=prefix + name)


@pytest.mark.slow
def test_every_output_of_an_encoder_depends_on_every_input(python_mode):
    import aesara

    made = encoder("tanh", 2)
    x, _, state, _ = inputs(made)
    mask = np.ones((TIME, BATCH))
    symbol = T.dtensor3()
    function = aesara.function([symbol], made.run(symbol, T.as_tensor_variable(mask), list(map(T.as_tensor, state)))[0])
    before = function(x)
    for step in range(TIME):
        other = x.copy()
        other[step] += 0.1
        assert (np.abs(function(other) - before).max(axis=(1, 2)) > 1e-9).all()


def test_a_model_of_the_next_token_refuses_an_encoder():
    config = ModelConfig(embedding_size=INPUT, hidden_size=2 * HIDDEN, vocab_size=7)
    with pytest.raises(ValueError, match="see the future"):
        RNNLM(config, rng=np.random.default_rng(0), layers=encoder("tanh", 1))
