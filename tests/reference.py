"""The recurrent language model in plain NumPy, one number of the batch at a time, to compare the package with.

Nothing here is shared with the package. Read it beside Mikolov et al. 2010 or any text on backpropagation through
time: `forward` is the model, `loss` what is minimised, `backward` its gradient by hand. Shapes: tokens, targets and
mask are (time, batch), a state is (batch, hidden), and vectors are rows. A masked step (mask 0) leaves the state as it
was and has no loss.
"""

import numpy as np

ACTIVATION = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}
SLOPE = {"tanh": lambda h: 1 - h**2, "relu": lambda h: (h > 0).astype(h.dtype)}  # as functions of the output h


def forward(params, tokens, mask, state, cell):
    """Hidden vectors (time, batch, hidden), the states before each step (same shape), and the final state.

    h_t = f(x_t W_xh + h_tm1 W_hh + b_h)
    """
    time, batch = tokens.shape
    W_xh, W_hh, b_h = (params[f"layer0.{name}"] for name in ("W_xh", "W_hh", "b_h"))
    hidden, before = np.zeros((2, time, batch, len(b_h)))
    final = np.array(state, dtype="float64")
    for column in range(batch):
        h = final[column]
        for t in range(time):
            before[t, column] = h
            if mask[t, column]:
                x_t = params["embedding"][tokens[t, column]]
                h = ACTIVATION[cell](x_t @ W_xh + h @ W_hh + b_h)
            hidden[t, column] = h
        final[column] = h
    return hidden, before, final


def log_softmax(scores):
    """log(exp(s_i) / sum_j exp(s_j)) for one vector."""
    scores = scores - scores.max()
    return scores - np.log(sum(np.exp(score) for score in scores))


def log_probabilities(params, hidden):
    """Of every next token: (time, batch, hidden) -> (time, batch, vocab)."""
    return np.array([[log_softmax(h @ params["W_hy"] + params["b_y"]) for h in row] for row in hidden])


def losses(params, tokens, targets, mask, state, cell):
    """Negative log-likelihood in nats (time, batch), 0 where masked."""
    hidden, _, _ = forward(params, tokens, mask, state, cell)
    log_p = log_probabilities(params, hidden)
    result = np.zeros(tokens.shape)
    for t, column in zip(*np.nonzero(mask)):
        result[t, column] = -log_p[t, column, targets[t, column]]
    return result


def loss(params, tokens, targets, mask, state, cell):
    """Nats per real token of the batch."""
    return losses(params, tokens, targets, mask, state, cell).sum() / mask.sum()


def backward(params, tokens, targets, mask, state, cell):
    """The gradient of `loss` with respect to every parameter: backpropagation through time.

    The state that a window begins with is a constant: no gradient flows into it.
    """
    time, batch = tokens.shape
    W_xh, W_hh, W_hy = params["layer0.W_xh"], params["layer0.W_hh"], params["W_hy"]
    hidden, before, _ = forward(params, tokens, mask, state, cell)
    probabilities = np.exp(log_probabilities(params, hidden))
    d = {name: np.zeros_like(value) for name, value in params.items()}
    for column in range(batch):
        d_h_from_later = np.zeros(len(W_hh))  # of the loss at later steps, with respect to h_t
        for t in reversed(range(time)):
            if not mask[t, column]:
                continue  # h_t = h_tm1: the gradient passes unchanged
            token, target, h_t, h_tm1 = tokens[t, column], targets[t, column], hidden[t, column], before[t, column]
            d_scores = probabilities[t, column].copy()
            d_scores[target] -= 1
            d_scores /= mask.sum()
            d["W_hy"] += np.outer(h_t, d_scores)
            d["b_y"] += d_scores
            d_h = d_h_from_later + W_hy @ d_scores
            d_sum = d_h * SLOPE[cell](h_t)  # with respect to x_t W_xh + h_tm1 W_hh + b_h
            d["layer0.W_xh"] += np.outer(params["embedding"][token], d_sum)
            d["layer0.W_hh"] += np.outer(h_tm1, d_sum)
            d["layer0.b_h"] += d_sum
            d["embedding"][token] += W_xh @ d_sum
            d_h_from_later = W_hh @ d_sum
    return d
