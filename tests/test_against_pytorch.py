"""The same weights and inputs give the same numbers in PyTorch, whose programmers we never met."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

SHARED = {  # ours: theirs, which are transposed where they are matrices of a layer
    "embedding": "embedding.weight",
    "layer0.W_xh": "rnn.weight_ih_l0",
    "layer0.W_hh": "rnn.weight_hh_l0",
    "layer0.b_h": "rnn.bias_ih_l0",
    "W_hy": "output.weight",
    "b_y": "output.bias",
}


class Model(torch.nn.Module):
    """Embedding, torch.nn.RNN and Linear, with the weights of one of our models."""

    def __init__(self, params, cell):
        super().__init__()
        rows, embedding_size = params["embedding"].shape
        hidden_size, vocab_size = params["W_hy"].shape
        self.embedding = torch.nn.Embedding(rows, embedding_size)
        self.rnn = torch.nn.RNN(embedding_size, hidden_size, nonlinearity=cell)
        self.output = torch.nn.Linear(hidden_size, vocab_size)
        self.double()
        self.rnn.bias_hh_l0.requires_grad_(False).zero_()  # torch has the bias twice
        theirs = dict(self.named_parameters())
        with torch.no_grad():
            for name, value in params.items():
                theirs[SHARED[name]].copy_(torch.tensor(value if name == "embedding" else value.T))

    def forward(self, inputs):
        """Scores (time, batch, vocab), the loss in nats per token, and the final state."""
        lengths = torch.tensor(inputs.mask.sum(axis=0).astype("int64"))
        x = self.embedding(torch.tensor(inputs.tokens.astype("int64")))
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        h, final = self.rnn(packed, torch.tensor(inputs.state)[None])
        h, _ = torch.nn.utils.rnn.pad_packed_sequence(h)
        scores = self.output(h)
        losses = torch.nn.functional.cross_entropy(
            scores.flatten(0, 1), torch.tensor(inputs.targets.astype("int64")).flatten(), reduction="none"
        )
        mask = torch.tensor(inputs.mask).flatten()
        return scores, (losses * mask).sum() / mask.sum(), final[0]

    def ours(self, values):
        """{our name: array} of what `values` makes of each parameter."""
        theirs = dict(self.named_parameters())
        arrays = {name: values(theirs[SHARED[name]]).numpy() for name in SHARED}
        return {name: array if name == "embedding" else array.T for name, array in arrays.items()}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(params=["tanh", "relu"])
def compiled(request, engine):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("time", [1, 4, 12])
def test_predictions_loss_and_final_state_agree(compiled, time):
    inputs = compiled.inputs(time)
    with torch.no_grad():
        scores, loss, final = Model(compiled.params(), compiled.cell)(inputs)
    log_p, state = compiled.functions.predict(inputs.tokens, inputs.mask, inputs.state)
    theirs = torch.log_softmax(scores, dim=-1).numpy()
    real = inputs.mask == 1
    np.testing.assert_allclose(log_p[real], theirs[real], atol=1e-6)
    np.testing.assert_allclose(state, final.numpy(), atol=1e-6)
    np.testing.assert_allclose(compiled.functions.train(*inputs, 0.0)[0], loss.item(), atol=1e-6)


@pytest.mark.parametrize("time", [1, 4, 12])
def test_gradients_agree(compiled, time):
    inputs = compiled.inputs(time)
    model = Model(compiled.params(), compiled.cell)
    model(inputs)[1].backward()
    ours = compiled.gradients(inputs)
    for name, theirs in model.ours(lambda parameter: parameter.grad).items():
        assert np.linalg.norm(ours[name] - theirs) < 1e-6 * np.linalg.norm(theirs), name


def test_steps_of_gradient_descent_agree(tanh):
    model = Model(tanh.params(), "tanh")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for seed in range(5):
        inputs = tanh.inputs(seed=seed)
        optimizer.zero_grad()
        loss = model(inputs)[1]
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(tanh.functions.train(*inputs, 0.5)[0], loss.item(), atol=1e-6)
    for name, theirs in model.ours(torch.Tensor.detach).items():
        np.testing.assert_allclose(tanh.params()[name], theirs, atol=1e-6, err_msg=name)


def test_steps_of_clipped_adam_agree(adam):
    """torch divides by norm + 1e-6, which Adam, indifferent to scale, hardly notices."""
    model = Model(adam.params(), "tanh")
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    norms = []
    for seed in range(8):
        inputs = adam.inputs(12, seed=seed)
        optimizer.zero_grad()
        loss = model(inputs)[1]
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3).item())
        optimizer.step()
        np.testing.assert_allclose(adam.functions.train(*inputs, 0.01)[0], loss.item(), atol=1e-6)
    assert max(norms) > 0.6  # clipped
    ours, began = adam.params(), adam.reset().params()
    for name, theirs in model.ours(torch.Tensor.detach).items():
        np.testing.assert_allclose(ours[name], theirs, atol=1e-6, err_msg=name)
        assert np.abs(theirs - began[name]).max() > 0.01


@pytest.mark.parametrize(("limit", "norm"), [(1.0, 1e3), (1.0, 1e-3)])
def test_clipping_agrees(limit, norm, python_mode):
    import aesara
    import aesara.tensor as T

    from theano_rnn.learning.gradients import clip_global_norm

    rng = np.random.default_rng(0)
    gradients = {"W": rng.normal(size=(4, 3)), "b": rng.normal(size=3)}
    size = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
    gradients = {name: gradient * norm / size for name, gradient in gradients.items()}
    theirs = [torch.nn.Parameter(torch.zeros(gradient.shape).double()) for gradient in gradients.values()]
    for parameter, gradient in zip(theirs, gradients.values()):
        parameter.grad = torch.tensor(gradient)
    torch.nn.utils.clip_grad_norm_(theirs, limit)
    symbols = {name: T.as_tensor_variable(gradient) for name, gradient in gradients.items()}
    ours = aesara.function([], list(clip_global_norm(symbols, limit).values()))()
    for array, parameter in zip(ours, theirs):
        np.testing.assert_allclose(array, parameter.grad.numpy(), rtol=1e-8)
