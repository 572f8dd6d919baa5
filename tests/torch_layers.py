"""Our parameters in PyTorch's recurrent layers, and its gradients under our names. Import torch first, or skip."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

ORDER = {"tanh": "h", "relu": "h", "lstm": "ifog", "gru": "rzn"}  # of our columns
THEIRS = {"tanh": "h", "relu": "h", "lstm": "ifgo", "gru": "rzn"}


def columns(kind, hidden_size):
    """Where each of torch's rows stands in our columns."""
    places = np.arange(len(ORDER[kind]) * hidden_size).reshape(-1, hidden_size)
    return places[[ORDER[kind].index(gate) for gate in THEIRS[kind]]].ravel()


def suffixes(count, directions):
    return [f"l{place // directions}" + ("_reverse" if place % directions else "") for place in range(count)]


def torch_layers(kind, params, directions=1):
    """A torch.nn.RNN, LSTM or GRU with the weights of `params`, a list of dicts in its order.

    Torch has the bias twice: the second stays zero and constant but for the GRU's ``b_hn``.
    """
    input_size, hidden_size = params[0]["W_xh"].shape[0], params[0]["W_hh"].shape[0]
    options = {"num_layers": len(params) // directions, "bidirectional": directions == 2}
    if kind in ("tanh", "relu"):
        rnn = torch.nn.RNN(input_size, hidden_size, nonlinearity=kind, **options).double()
    else:
        rnn = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](input_size, hidden_size, **options).double()
    order = columns(kind, hidden_size)
    with torch.no_grad():
        for suffix, values in zip(suffixes(len(params), directions), params):
            for name, value in (("weight_ih", "W_xh"), ("weight_hh", "W_hh"), ("bias_ih", "b_h")):
                getattr(rnn, f"{name}_{suffix}").copy_(torch.tensor(values[value][..., order].T))
            second = getattr(rnn, f"bias_hh_{suffix}").zero_()
            if kind == "gru":
                second[-hidden_size:] = torch.tensor(values["b_hn"])
            else:
                second.requires_grad_(False)
    return rnn


def torch_gradients(kind, rnn, directions=1):
    """What `backward` left, a dict for each cell, in our shapes and order of columns."""
    back = np.argsort(columns(kind, rnn.hidden_size))
    result = []
    for suffix in suffixes(rnn.num_layers * directions, directions):
        slopes = {
            ours: getattr(rnn, f"{name}_{suffix}").grad.numpy().T[..., back]
            for name, ours in (("weight_ih", "W_xh"), ("weight_hh", "W_hh"), ("bias_ih", "b_h"))
        }
        if kind == "gru":
            slopes["b_hn"] = getattr(rnn, f"bias_hh_{suffix}").grad.numpy()[-rnn.hidden_size :]
        result.append(slopes)
    return result
