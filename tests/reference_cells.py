"""Every cell's step, repeated over time, in plain NumPy, one row of the batch at a time.

Nothing here is shared with the package: a step is written from its paper, with one matrix product for each gate. Rows
are vectors; columns of ``W_xh``, ``W_hh`` and ``b_h`` stand in the order in which a step's first line names them.
"""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def blocks(p, count):
    """(W_x, W_h, b) of each of `count` gates."""
    return zip(*(np.split(p[name], count, axis=-1) for name in ("W_xh", "W_hh", "b_h")))


def tanh(p, x, h):
    h_t = np.tanh(x @ p["W_xh"] + h @ p["W_hh"] + p["b_h"])
    return h_t, h_t


def relu(p, x, h):
    h_t = np.maximum(x @ p["W_xh"] + h @ p["W_hh"] + p["b_h"], 0)
    return h_t, h_t


def lstm(p, x, h, c):
    """Gers et al. 2000."""
    i, f, o, g = (x @ W_x + h @ W_h + b for W_x, W_h, b in blocks(p, 4))
    c_t = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h_t = sigmoid(o) * np.tanh(c_t)
    return h_t, h_t, c_t


def gru(p, x, h):
    """Cho et al. 2014, reset after the product, as torch.nn.GRU documents it."""
    r, z, n = blocks(p, 3)
    reset = sigmoid(x @ r[0] + h @ r[1] + r[2])
    update = sigmoid(x @ z[0] + h @ z[1] + z[2])
    new = np.tanh(x @ n[0] + n[2] + reset * (h @ n[1] + p["b_hn"]))
    h_t = (1 - update) * new + update * h
    return h_t, h_t


def mogrifier(p, x, h, c):
    """Melis, Kocisky & Blunsom 2020."""
    i = 1
    while f"Q{i}" in p or f"R{i}" in p:
        if i % 2 == 1:
            x = 2 * sigmoid(h @ p[f"Q{i}"]) * x
        else:
            h = 2 * sigmoid(x @ p[f"R{i}"]) * h
        i += 1
    return lstm(p, x, h, c)


def forget_only(p, x, h):
    """The cell that tests/nn/test_cells.py adds."""
    f, g = (x @ W_x + h @ W_h + b for W_x, W_h, b in blocks(p, 2))
    h_t = sigmoid(f) * h + (1 - sigmoid(f)) * np.tanh(g)
    return h_t, h_t


def unrolled(step, params, x, mask, state, *, backwards=False):
    """Outputs (time, batch, hidden), 0 where masked, and the final state; a masked step copies the state."""
    time, batch = mask.shape
    final = [np.array(part) for part in state]
    outputs = np.zeros((time, batch, final[0].shape[1]))
    for column in range(batch):
        for t in reversed(range(time)) if backwards else range(time):
            if mask[t, column]:
                outputs[t, column], *new = step(params, x[t, column], *(part[column] for part in final))
                for part, value in zip(final, new):
                    part[column] = value
    return outputs, final


def both_ways(step, params, x, mask, states):
    """A layer forwards and one backwards: outputs (time, batch, 2 hidden), 0 where masked, and both final states."""
    outputs, finals = zip(*(
        unrolled(step, params[place], x, mask, states[place], backwards=place == 1) for place in range(2)
    ))  # fmt: skip
    return np.concatenate(outputs, axis=-1), finals


def scattered(mask):
    """A mask with padding before and between real steps, too."""
    mask = np.random.default_rng(3).integers(2, size=mask.shape).astype(mask.dtype)
    mask[-1, 0] = 1
    return mask


def difference(actual, expected):
    """Norm of the difference, relative to the norm of what is expected."""
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)
