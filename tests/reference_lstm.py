"""A language model of one LSTM layer in plain NumPy, one number of the batch at a time: beside `reference`.

Written from Gers et al. 2000, nothing shared with the package. Columns of the layer's matrices: the input, forget and
output gates, then the candidate. A state is a pair of arrays (batch, hidden), h and c.
"""

import numpy as np
import reference


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def gates(params, x_t, h_tm1):
    """i, f, o and g of one step, each (hidden,)."""
    z = x_t @ params["layer0.W_xh"] + h_tm1 @ params["layer0.W_hh"] + params["layer0.b_h"]
    i, f, o, g = np.split(z, 4)
    return sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)


def forward(params, tokens, mask, state):
    """h and c after every step, both (time + 1, batch, hidden) with the given state in front; masked steps copy."""
    time, batch = tokens.shape
    h, c = (np.zeros((time + 1, *np.shape(part))) for part in state)
    h[0], c[0] = state
    for t in range(time):
        for column in range(batch):
            h[t + 1, column], c[t + 1, column] = h[t, column], c[t, column]
            if mask[t, column]:
                i, f, o, g = gates(params, params["embedding"][tokens[t, column]], h[t, column])
                c[t + 1, column] = f * c[t, column] + i * g
                h[t + 1, column] = o * np.tanh(c[t + 1, column])
    return h, c


def log_probabilities(params, tokens, mask, state):
    """Of every next token: (time, batch, vocab)."""
    return reference.log_probabilities(params, forward(params, tokens, mask, state)[0][1:])


def loss(params, tokens, targets, mask, state):
    """Nats per real token of the batch."""
    log_p = log_probabilities(params, tokens, mask, state)
    return -sum(log_p[t, column, targets[t, column]] for t, column in zip(*np.nonzero(mask))) / mask.sum()


def backward(params, tokens, targets, mask, state):
    """The gradient of `loss` with respect to every parameter: backpropagation through time."""
    time, batch = tokens.shape
    h, c = forward(params, tokens, mask, state)
    probabilities = np.exp(log_probabilities(params, tokens, mask, state))
    d = {name: np.zeros_like(value) for name, value in params.items()}
    for column in range(batch):
        d_h_later, d_c_later = np.zeros((2, h.shape[2]))
        for t in reversed(range(time)):
            if not mask[t, column]:
                continue
            token, h_tm1, c_tm1 = tokens[t, column], h[t, column], c[t, column]
            h_t, tanh_c = h[t + 1, column], np.tanh(c[t + 1, column])
            d_scores = probabilities[t, column].copy()
            d_scores[targets[t, column]] -= 1
            d_scores /= mask.sum()
            d["W_hy"] += np.outer(h_t, d_scores)
            d["b_y"] += d_scores
            d_h = d_h_later + params["W_hy"] @ d_scores
            i, f, o, g = gates(params, params["embedding"][token], h_tm1)
            d_c = d_c_later + d_h * o * (1 - tanh_c**2)
            d_z = np.concatenate([
                d_c * g * i * (1 - i), d_c * c_tm1 * f * (1 - f), d_h * tanh_c * o * (1 - o), d_c * i * (1 - g**2)
            ])  # fmt: skip
            d["layer0.W_xh"] += np.outer(params["embedding"][token], d_z)
            d["layer0.W_hh"] += np.outer(h_tm1, d_z)
            d["layer0.b_h"] += d_z
            d["embedding"][token] += params["layer0.W_xh"] @ d_z
            d_h_later, d_c_later = params["layer0.W_hh"] @ d_z, d_c * f
    return d
