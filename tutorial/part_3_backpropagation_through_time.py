"""
Part 3: Backpropagation through time
====================================

A recurrent network applies the same weights at every time step. So the loss at one step depends on a weight in many
ways: through this step, through the step before, and so on, back to the first word. *Backpropagation through time*
(BPTT) adds up all these ways. In part 2, one call of ``T.grad`` did this work. In this part we do it ourselves.

You will see

* where each term of the gradient comes from, one formula at a time, and the same in twenty lines of NumPy;
* three meanings of "truncated" backpropagation, which of them learns what, and which one this package uses;
* why gradients vanish or explode over many steps, measured for four kinds of networks;
* what clipping does to an exploding gradient.

You need the chain rule for derivatives and NumPy. The script takes about 30 seconds on one core. All random numbers
come from stated seeds. Every claim that can be checked is followed by an ``assert``.
"""

# %%
# The network
# -----------
#
# The network is the one of part 2, for one sequence. It reads vectors :math:`x_1, \ldots, x_n` and predicts a word
# after each of them. As everywhere in this project, vectors are rows, and time is the first axis:
#
# .. math:: a_t = x_t W_{xh} + h_{t-1} W_{hh} + b_h
#
# .. math:: h_t = \tanh(a_t)
#
# .. math:: p_t = \mathrm{softmax}(h_t W_{hy} + b_y)
#
# The loss at step *t* is :math:`-\ln p_t[y_t]`, where :math:`y_t` is the word that really came. The loss of the
# sequence is the sum over all steps:
#
# .. math:: \mathrm{loss} = \sum_{t=1}^{n} \mathrm{loss}_t
#
# We give every size a different number. Then a product of the wrong matrices fails at once, because their shapes do not
# fit. All numbers are float64, so that we can compare gradients to many digits. ``theano_rnn`` is imported before
# ``aesara``, because it sets what Aesara needs.
from theano_rnn.engine.compiling import compile_function

# isort: split
from typing import NamedTuple

import aesara
import aesara.tensor as T
import matplotlib.pyplot as plt
import numpy as np

from theano_rnn.model import RNNLM
from theano_rnn.settings.network import ModelConfig
from theano_rnn.view.gradient_flow import GradientFlow

num_steps, input_size, hidden_size, vocab_size = 12, 3, 4, 5

rng = np.random.default_rng(0)
params = {
    "W_xh": rng.normal(0, 0.5, (input_size, hidden_size)),
    "W_hh": rng.normal(0, 0.5, (hidden_size, hidden_size)),
    "b_h": rng.normal(0, 0.5, hidden_size),
    "W_hy": rng.normal(0, 0.5, (hidden_size, vocab_size)),
    "b_y": rng.normal(0, 0.5, vocab_size),
}
x = rng.normal(size=(num_steps, input_size))  # (time, input)
y = rng.integers(vocab_size, size=num_steps)  # (time,), the words that really came
h_0 = rng.normal(0, 0.5, hidden_size)  # (hidden,), the state before the first step


def forward(params, x, y, h_0):
    """Returns the loss of each step (time,), the states (time + 1, hidden) and the probabilities (time, vocab)."""
    W_xh, W_hh, b_h, W_hy, b_y = params.values()
    h = [h_0]
    for x_t in x:
        h.append(np.tanh(x_t @ W_xh + h[-1] @ W_hh + b_h))
    h = np.stack(h)
    p = np.exp(h[1:] @ W_hy + b_y)
    p /= p.sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(x)), y]), h, p


losses, h, p = forward(params, x, y, h_0)
print(f"loss of each step, in nats: {np.round(losses, 2)}")
print(f"loss of the sequence: {losses.sum():.2f}, and {num_steps * np.log(vocab_size):.2f} for a uniform guess")

# %%
# The gradient, one formula at a time
# -----------------------------------
#
# We write :math:`\bar{v}` for the gradient of the loss with respect to a vector or matrix *v*. It has the shape of *v*:
# each number in :math:`\bar{v}` says how much the loss changes if this number in *v* changes a little. We start at the
# loss and go backwards.
#
# **The output layer.** Let :math:`s_t = h_t W_{hy} + b_y` be the scores before the softmax, shape (vocab,). The
# derivative of :math:`-\ln \mathrm{softmax}(s_t)[y_t]` is the probability, minus 1 for the right word:
#
# .. math:: \bar{s}_t = p_t - \mathrm{onehot}(y_t)
#
# The matrix :math:`W_{hy}` is used at every step, so its gradient is a sum over the steps. Each term is a column times
# a row: shape (hidden, 1) times (1, vocab) gives (hidden, vocab).
#
# .. math:: \bar{W}_{hy} = \sum_t h_t^\top \bar{s}_t, \qquad \bar{b}_y = \sum_t \bar{s}_t
#
# **The hidden state.** Here is the heart of the matter. The state :math:`h_t` reaches the loss in two ways: through the
# prediction at step *t*, and through the next state, :math:`h_{t+1}`. The gradient is the sum of both, shape (hidden,):
#
# .. math:: \bar{h}_t = \bar{s}_t W_{hy}^\top + \bar{a}_{t+1} W_{hh}^\top
#
# At the last step there is no next state, and the second term is zero.
#
# **Through tanh.** The derivative of :math:`\tanh(a)` is :math:`1 - \tanh(a)^2`, for each unit on its own:
#
# .. math:: \bar{a}_t = \bar{h}_t \, (1 - h_t^2)
#
# The last two formulas call each other: :math:`\bar{h}_t` needs :math:`\bar{a}_{t+1}`, which needs
# :math:`\bar{h}_{t+1}`. So the computation must run from the last step to the first. This is why it is called
# backpropagation *through time*.
#
# **The recurrent layer.** Its parameters, too, are used at every step:
#
# .. math:: \bar{W}_{hh} = \sum_t h_{t-1}^\top \bar{a}_t, \qquad
#           \bar{W}_{xh} = \sum_t x_t^\top \bar{a}_t, \qquad \bar{b}_h = \sum_t \bar{a}_t
#
# Now the code. A sum over time of columns times rows is one matrix product, ``x.T @ d_a``. In ``h``, row 0 is the
# initial state, so step ``t`` (counted from 0) reads ``h[t]`` and writes ``h[t + 1]``. The argument ``weights`` is a
# factor for the loss of each step. We shall use it to ask for the gradient of the loss of one step alone.


def backpropagate(params, x, y, h_0, weights=1.0):
    """Returns the gradients of ``sum(weights * losses)``: of each parameter by name, and of h_0 (hidden,)."""
    W_hh, b_h, W_hy, b_y = (params[name] for name in ("W_hh", "b_h", "W_hy", "b_y"))
    _, h, p = forward(params, x, y, h_0)
    d_s = np.broadcast_to(weights, len(x))[:, None] * (p - np.eye(len(b_y))[y])  # (time, vocab)
    d_a = np.zeros((len(x), len(b_h)))  # (time, hidden)
    from_next = np.zeros(len(b_h))  # what step t + 1 sends back to h_t
    for t in reversed(range(len(x))):
        d_h = d_s[t] @ W_hy.T + from_next
        d_a[t] = d_h * (1 - h[t + 1] ** 2)
        from_next = d_a[t] @ W_hh.T
    gradients = {
        "W_xh": x.T @ d_a,
        "W_hh": h[:-1].T @ d_a,
        "b_h": d_a.sum(axis=0),
        "W_hy": h[1:].T @ d_s,
        "b_y": d_s.sum(axis=0),
    }
    return gradients, from_next


full, d_h_0 = backpropagate(params, x, y, h_0)
for name, gradient in full.items():
    assert gradient.shape == params[name].shape

# %%
# Two checks
# ----------
#
# A gradient is easy to get almost right. So it is compared with two others that are computed in other ways.
#
# **Central differences** need nothing but the loss. Change one number by a small :math:`\epsilon`, up and down:
#
# .. math:: \frac{\partial\, \mathrm{loss}}{\partial v} \approx
#           \frac{\mathrm{loss}(v + \epsilon) - \mathrm{loss}(v - \epsilon)}{2 \epsilon}
#
# This takes two forward passes for each number, 57 numbers here, so it is a check and not a way to train.


def central_differences(params, x, y, h_0, epsilon=1e-5):
    """Returns the gradient of the summed loss with respect to each parameter, by name."""
    estimates = {}
    for name, value in params.items():
        estimates[name] = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            changed = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * epsilon
                changed.append(forward({**params, name: moved}, x, y, h_0)[0].sum())
            estimates[name][index] = (changed[0] - changed[1]) / (2 * epsilon)
    return estimates


# %%
# **Aesara.** ``aesara.scan`` repeats a step; ``T.grad`` differentiates through the loop. Both the recurrence and the
# output layer are in the step here, because the next section needs it so. (In the package, ``aesara.scan`` is called in
# one place, ``theano_rnn/nn/unrolling.py``. The tutorial calls it to show what it does.) The argument
# ``truncate_gradient`` is scan's own; -1 means "do not truncate".


def compile_gradients(truncate_gradient=-1):
    """Returns a function of (x, y, h_0, weights, *params): the losses, and the gradient of each parameter."""
    x, h_0 = T.matrix("x", dtype="float64"), T.vector("h_0", dtype="float64")
    y, weights = T.ivector("y"), T.vector("weights", dtype="float64")
    symbols = [
        T.TensorType("float64", shape=(None,) * value.ndim)(name)  # a matrix or a vector
        for name, value in params.items()
    ]

    def step(x_t, y_t, h_tm1, W_xh, W_hh, b_h, W_hy, b_y):
        h_t = T.tanh(T.dot(x_t, W_xh) + T.dot(h_tm1, W_hh) + b_h)
        s_t = T.dot(h_t, W_hy) + b_y
        return h_t, T.log(T.exp(s_t).sum()) - s_t[y_t]  # -ln softmax(s_t)[y_t]

    (_, losses), _ = aesara.scan(
        step,
        sequences=[x, y],
        outputs_info=[h_0, None],
        non_sequences=symbols,
        truncate_gradient=truncate_gradient,
        strict=True,
    )
    gradients = T.grad((weights * losses).sum(), symbols)
    return compile_function([x, y, h_0, weights, *symbols], [losses, *gradients], engine="jax")


def by_aesara(function, weights):
    """Call a function of `compile_gradients`. Returns the gradients by name."""
    _, *gradients = function(x, y.astype("int32"), h_0, weights, *params.values())
    return {name: np.asarray(gradient) for name, gradient in zip(params, gradients)}


def distance(first, second):
    """Returns the largest difference between two sets of gradients."""
    return max(np.abs(first[name] - second[name]).max() for name in params)


scan_full = compile_gradients()
to_differences = distance(full, central_differences(params, x, y, h_0))
to_aesara = distance(full, by_aesara(scan_full, np.ones(num_steps)))
print(f"largest difference to central differences {to_differences:.0e}, to T.grad {to_aesara:.0e}")
assert to_differences < 1e-7
assert to_aesara < 1e-10

# %%
# The formulas are right. Central differences are less exact, because they subtract two almost equal numbers.
#
# Truncated backpropagation
# -------------------------
#
# A book has a hundred thousand words. To go back through all of them for one update would take too much time, and all
# states would have to be kept in memory. So the gradient is cut off somewhere: it is *truncated*. There are several
# ways to cut, and they do not give the same gradient. To compare them, we need the gradient of the losses in one
# piece of the sequence:


class Example(NamedTuple):
    """A network with a sequence: what it reads, the words that came, and the states that it goes through."""

    params: dict
    x: np.ndarray  # (time, input)
    y: np.ndarray  # (time,)
    h: np.ndarray  # (time + 1, hidden)


def piece(example, start, end, weights=1.0):
    """Returns the gradients of the losses at steps start .. end - 1. The state before `start` is a constant."""
    params, x, y, h = example
    return backpropagate(params, x[start:end], y[start:end], h[start], weights)[0]


def add(pieces):
    """Returns the sum of several sets of gradients."""
    pieces = list(pieces)
    return {name: sum(gradients[name] for gradients in pieces) for name in params}


example = Example(params, x, y, h)

# %%
# **(a) What a textbook means.** Every loss looks back *k* steps. The gradient of :math:`\mathrm{loss}_t` passes through
# step *t* and the *k* - 1 steps before it. What the state was before that is taken as a constant. In code: every loss
# gets a piece of its own, which ends at its step, and in which no other loss counts.


def textbook_piece(example, t, k):
    """Returns the gradients of the loss at step t, which looks back k steps."""
    start = max(0, t + 1 - k)
    return piece(example, start, t + 1, weights=np.arange(start, t + 1) == t)


def textbook(example, k):
    """Returns the gradients if every loss looks back k steps."""
    return add(textbook_piece(example, t, k) for t in range(num_steps))


assert distance(textbook(example, num_steps), full) < 1e-12  # nothing is cut off
assert distance(textbook(example, 4), full) > 0.01

# %%
# This is simple to say, and slow: with *n* steps it takes *n* passes of *k* steps.
#
# **(b) What truncate_gradient does.** The scan of Theano and Aesara has an argument that promises just this,
# ``truncate_gradient=k``. But it does something else. The backward loop starts at the last step, as always, and simply
# stops after *k* steps. A loss at an earlier step is never reached. We ask for the gradient of the loss of each step
# alone:
k = 4
scan_truncated = compile_gradients(truncate_gradient=k)

print(f"norm of d loss_t / d W_hh, truncated to k = {k} steps")
print(f"{'t':>4} {'not truncated':>14} {'textbook':>9} {'truncate_gradient':>18}")
for t in range(num_steps):
    alone = np.eye(num_steps)[t]  # the loss of step t counts once, all others not at all
    found = [by_aesara(scan_full, alone), textbook_piece(example, t, k), by_aesara(scan_truncated, alone)]
    norms = [np.linalg.norm(gradients["W_hh"]) for gradients in found]
    print(f"{t + 1:4} {norms[0]:14.3f} {norms[1]:9.3f} {norms[2]:18.3f}")
    if t < num_steps - k:
        assert all((gradient == 0).all() for gradient in found[2].values())  # zero, to the last bit

# %%
# The losses at the first eight steps send no gradient at all, neither to :math:`W_{hh}` nor, since the output layer is
# inside the scan, to :math:`W_{hy}`. Scan's gradient is that of *one* piece, the last *k* steps:


def last_steps(example, k):
    """Returns the gradients of the losses at the last k steps."""
    return piece(example, num_steps - k, num_steps)


by_scan = by_aesara(scan_truncated, np.ones(num_steps))
assert distance(by_scan, last_steps(example, k)) < 1e-10
assert distance(by_scan, textbook(example, k)) > 0.1

# %%
# The well-known tutorial on recurrent networks that this one replaces (Britz, 2015) passed ``bptt_truncate=4`` to
# Theano's scan, with the output layer inside the step. So it trained each sentence on its last four words. In a
# sentence of twenty words, sixteen taught the network nothing. Its check of the gradient could not see it, because the
# check ran on a sequence of four words, which truncation to four steps leaves whole. A gradient check tests the
# settings and the data that it runs with, and no others.
#
# **(c) Windows that carry the state.** This package cuts the *text*, not the backward loop. A window is a number of
# steps, ``--bptt-steps``, 35 by default. Each window is an ordinary sequence with full backpropagation, and every loss
# in it counts. The last state of a window is the first state of the next one, but as a plain number: the gradient does
# not cross the border. (In PyTorch, one writes ``h = h.detach()`` between two batches.)


def windows(example, k):
    """Returns the gradients of all windows of k steps, added up. The state is carried from window to window."""
    return add(piece(example, start, start + k) for start in range(0, num_steps, k))


state, losses_by_window = h_0, []
for start in range(0, num_steps, k):
    window_losses, window_h, _ = forward(params, x[start : start + k], y[start : start + k], state)
    losses_by_window.append(window_losses)
    state = window_h[-1]  # carried over
assert np.allclose(np.concatenate(losses_by_window), losses)  # the losses are those of the whole sequence
assert distance(windows(example, num_steps), full) < 1e-12

# %%
# So the network still *reads* the whole text: the states and the losses are those of the uncut sequence. Only the
# gradient is cut. Which gradient is this? It is the full gradient with one change: the step that opens a window sends
# nothing back, as if :math:`\bar{a}_{t+1} W_{hh}^\top` were zero there. A loss at the end of a window looks back *k*
# steps, a loss at its start only one, so on average a loss looks back :math:`(k + 1) / 2` steps. That is less than the
# textbook has. But every loss counts, as in the textbook, and the whole costs only one pass of *n* steps.
#
# How near do the three come to the full gradient? We measure the cosine between each one and the full one, for 50
# random networks and sequences: 1 is the same direction, 0 a right angle.


def cosine(first, second):
    """Returns the cosine of the angle between two sets of gradients, each taken as one long vector."""
    u, v = (np.concatenate([gradients[name].ravel() for name in params]) for gradients in (first, second))
    return u @ v / (np.linalg.norm(u) * np.linalg.norm(v))


ways = textbook, windows, last_steps
cosines = {(way, k): [] for way in ways for k in (1, 2, 4, 6)}
for seed in range(50):
    rng = np.random.default_rng(seed)
    drawn = {name: rng.normal(0, 0.5, value.shape) for name, value in params.items()}
    sequence = rng.normal(size=x.shape), rng.integers(vocab_size, size=num_steps)
    _, states, _ = forward(drawn, *sequence, np.zeros(hidden_size))
    other, whole = Example(drawn, *sequence, states), backpropagate(drawn, *sequence, states[0])[0]
    for way, k in cosines:
        cosines[way, k].append(cosine(way(other, k), whole))

print("cosine with the full gradient, mean of 50 networks")
for way in ways:
    row = "  ".join(f"k = {k}: {np.mean(cosines[way, k]):.3f}" for k in (1, 2, 4, 6))
    print(f"{way.__name__:>11}  {row}")
for k in (2, 4, 6):
    assert np.mean(cosines[windows, k]) > np.mean(cosines[last_steps, k]) + 0.05
    assert np.mean(cosines[textbook, k]) > np.mean(cosines[windows, k])

# %%
# Windows are almost as good as the textbook's truncation and cost *k* times less. (These networks are small and not
# trained, so their gradients fade within a few steps.) With scan's truncation, most of the data is not used. This is
# why the package has windows, and why ``truncate_gradient`` appears nowhere in it. For windows, the training text is
# one long stream: the sentences follow one another, and the state is carried from each to the next.
#
# Vanishing and exploding gradients
# ---------------------------------
#
# How much does it matter to look far back? That depends on how much of the gradient survives the way. One step back
# multiplies the gradient by a matrix, the *Jacobian* of the step: the derivative of each number in :math:`h_t` with
# respect to each number in :math:`h_{t-1}`, shape (hidden, hidden). For the tanh network it is
#
# .. math:: J_t = W_{hh} \, \mathrm{diag}(1 - h_t^2)
#
# (For row vectors, a small change :math:`dh` of the state becomes :math:`dh \, J_t` one step later.) Many steps back
# are a product of many such matrices:
#
# .. math:: \frac{\partial\, \mathrm{loss}_t}{\partial h_{t-k}} =
#           \frac{\partial\, \mathrm{loss}_t}{\partial h_t} \,
#           \left( J_{t-k+1} J_{t-k+2} \cdots J_t \right)^\top
#
# We check it for the loss of the last step and the initial state, which is all 12 steps before:
W_xh, W_hh, b_h, W_hy, b_y = params.values()
product = np.eye(hidden_size)
for h_t in h[1:]:
    product = product @ W_hh @ np.diag(1 - h_t**2)
d_h_n = (p[-1] - np.eye(vocab_size)[y[-1]]) @ W_hy.T  # (hidden,), the gradient at the last state
_, d_h_0 = backpropagate(params, x, y, h_0, weights=np.eye(num_steps)[-1])
assert np.allclose(d_h_0, d_h_n @ product.T, atol=1e-15)

# %%
# A matrix can make a vector at most as many times longer as its *largest singular value* says, :math:`\sigma`. Since
# :math:`1 - h^2` is never more than 1, *k* steps back multiply the norm by at most :math:`\sigma^k`:
#
# .. math:: \left\| \frac{\partial\, \mathrm{loss}_t}{\partial h_{t-k}} \right\| \le
#           \sigma^k \left\| \frac{\partial\, \mathrm{loss}_t}{\partial h_t} \right\|
#
# If :math:`\sigma` is less than 1, the gradient *must* vanish: each step multiplies it by at most :math:`\sigma`. If
# :math:`\sigma` is greater than 1, it *may* explode (Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov
# & Bengio 2013).
#
# Now we measure it for networks as the package builds them: 64 units, before any training, on random tokens. The
# package has a function for this, ``GradientFlow`` (``theano_rnn/view/gradient_flow.py``). It returns the norm of
# :math:`\partial\, \mathrm{loss}_t / \partial h_{t-k}` for each *k*. We take the geometric mean over 32 sequences of
# 100 tokens, which is the mean that suits numbers that differ by factors. A fifth network is the tanh network with
# all recurrent weights multiplied by 5.
lags, units, num_words = 50, 64, 50
sequences = np.random.default_rng(2).integers(num_words, size=(32, 2 * lags + 1))


def mean_norms(flow):
    """Returns the geometric mean over the sequences of the norms, for k = 0 .. lags, and the norms of each sequence."""
    norms = flow.norms(sequences, lags=lags)  # (lags + 1, sequences)
    return np.exp(np.log(norms).mean(axis=1)), norms


curves, sigma = {}, {}
for cell in ("tanh", "relu", "gru", "lstm"):
    config = ModelConfig(
        cell=cell, vocab_size=num_words, embedding_size=units, hidden_size=units, tie_weights=False, dtype="float64"
    )
    network = RNNLM(config, rng=np.random.default_rng(1))
    flow = GradientFlow(network, engine="jax")
    curves[cell], norms = mean_norms(flow)
    if cell == "tanh":
        matrix = network.params["layer0.W_hh"]
        sigma["tanh"] = np.linalg.svd(matrix.get_value(), compute_uv=False)[0]
        bound = norms[0] * sigma["tanh"] ** np.arange(lags + 1)[:, None]
        assert (norms <= bound * 1.000001).all()
        matrix.set_value(5 * matrix.get_value())
        curves["tanh, W_hh times 5"], _ = mean_norms(flow)
        sigma["tanh, W_hh times 5"] = 5 * sigma["tanh"]

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, curve in curves.items():
    ax.semilogy(curve / curve[0], label=name)
ax.semilogy(sigma["tanh"] ** np.arange(lags + 1), "k--", linewidth=1, label="bound for tanh")
ax.set(xlabel="k, steps back", ylabel="norm of the gradient, relative to k = 0", ylim=(1e-20, 1e6))
ax.legend(fontsize=9, ncols=2)
ax.grid(alpha=0.3)
plt.show()

for name, curve in curves.items():
    factor = (curve[50] / curve[10]) ** (1 / 40)
    note = f"; largest singular value of W_hh {sigma[name]:.2f}" if name in sigma else ""
    print(f"{name:>18}: times {factor:.2f} with each step, {curve[50] / curve[0]:.0e} after 50 steps{note}")

# %%
# Each curve is almost a straight line. On a logarithmic axis this means a constant factor with each step.
#
# * **tanh and ReLU** lose more than half of the gradient with each step. After 50 steps nothing is left: a factor of
#   :math:`10^{-15}` or less. A word fifty steps back cannot teach such a network anything, at least not at the
#   beginning.
# * **GRU and LSTM** vanish too before training, but more slowly. Their gates can learn to let the gradient pass. This
#   is the subject of part 4.
# * **Large recurrent weights** make the gradient grow, here about a hundred thousand times in 50 steps. Per step it
#   does not grow five times as fast as before: larger states are nearer to -1 or 1, where the derivative of tanh is
#   small.
#
# Why does tanh shrink the gradient although its :math:`\sigma` is greater than 1? The largest singular value is the
# worst case: it holds for one direction. A typical direction is scaled by the root mean square of *all* singular
# values. The package draws :math:`W_{hh}` uniformly between :math:`\pm 1/\sqrt{\mathrm{hidden}}`, and then this is
# :math:`1/\sqrt{3} = 0.58`. ReLU also sets about half of the units to zero, a factor of :math:`\sqrt{1/2}` in the
# norm, and :math:`0.58 \cdot 0.71 = 0.41` is what we measured. With tanh, :math:`1 - h^2` takes the place of the
# second factor.
assert curves["tanh"][50] / curves["tanh"][0] < 1e-10
assert curves["relu"][50] / curves["relu"][0] < 1e-10
for cell in ("gru", "lstm"):
    assert curves[cell][50] > 1000 * curves["tanh"][50]
assert curves["tanh, W_hh times 5"][50] > 1e4 * curves["tanh, W_hh times 5"][0]
assert abs((curves["relu"][50] / curves["relu"][10]) ** (1 / 40) - np.sqrt(1 / 6)) < 0.04

# %%
# What happens in training? The command ``theano-rnn look MODEL TEXT --gradients`` draws the same picture for a trained
# model and its untrained twin (``docs/look.md`` in the repository has it for models of novels): every network looks
# farther back after training than before.
#
# Clipping
# --------
#
# A vanished gradient is a missing lesson. An exploded one destroys what was learned before: the update is so large that
# the parameters land far away, where the gradient at the old place says nothing. The usual remedy is to *clip by global
# norm*. Take all gradients as one long vector *g*. If it is longer than a limit, shorten it; its direction stays:
#
# .. math:: g \leftarrow g \cdot \min \left( 1, \frac{\mathrm{limit}}{\left\| g \right\|} \right)
#
# The experiment: a ReLU network whose recurrent matrix starts as 1.1 times the unit matrix. So each step back
# multiplies the gradient by up to 1.1, and 50 steps by up to :math:`1.1^{50} = 117`. The data are easy: eight symbols
# in a circle, so that each symbol tells the next one. We use plain gradient descent with rate 0.1, once without a
# limit and once with ``clip_norm=1``.
num_symbols, batch_size = 8, 32
circle = (np.arange(lags + 2)[:, None] + np.arange(batch_size)) % num_symbols  # (time + 1, batch)
tokens, targets = circle[:-1].astype("int32"), circle[1:].astype("int32")
mask = np.ones(tokens.shape, "float32")


def train_on_circle(clip_norm, num_updates=200):
    """Returns the loss and the norm of the gradient before clipping, for each update: (updates, 2)."""
    config = ModelConfig(
        cell="relu", vocab_size=num_symbols, embedding_size=units, hidden_size=units, tie_weights=False
    )
    network = RNNLM(config, rng=np.random.default_rng(0))
    network.params["layer0.W_hh"].set_value(1.1 * np.eye(units, dtype="float32"))
    train = network.compile("train", engine="jax", optimizer="sgd", clip_norm=clip_norm, with_norms=True).train
    state = network.initial_state(batch_size)
    history = []
    while len(history) < num_updates and np.isfinite(history).all():
        loss, norms, *_ = train(tokens, targets, mask, *state, np.float32(0.1))
        history.append((float(loss), float(np.linalg.norm(np.asarray(norms)[0]))))  # of all parameters together
    return np.array(history)


unclipped, clipped = train_on_circle(clip_norm=0), train_on_circle(clip_norm=1)  # 0: no clipping
for name, history in {"unclipped": unclipped, "clipped": clipped}.items():
    print(f"{name}: the first gradient has norm {history[0, 1]:.0f}; the loss is {history[0, 0]:.2f} before the first "
          f"update, {history[1, 0]:.3g} after it, and {history[-1, 0]:.3g} after {len(history) - 1}")  # fmt: skip
assert unclipped[0, 1] > 10  # an exploding gradient
assert len(unclipped) < 20
assert not np.isfinite(unclipped[-1]).all()  # not a number: nothing can be learned any more
assert len(clipped) == 200
assert np.median(clipped[-20:, 0]) < 0.5

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.semilogy(clipped[:, 0], label="loss, clipped")
ax.semilogy(clipped[:, 1], label="norm of the gradient, before it was clipped", linewidth=1)
ax.semilogy(unclipped[:, 0], "r-x", label="loss, not clipped, until it is not a number")
ax.set(xlabel="update", ylabel="loss (nats per symbol), norm", ylim=(1e-3, 1e6))
ax.legend(fontsize=9)
ax.grid(alpha=0.3)
plt.show()

# %%
# Without clipping, the first update throws the parameters so far away that the loss is above ten thousand; soon it is
# "not a number". With clipping, the first updates also overshoot (the loss rises before it falls), but a step has at
# most the length rate times limit, so training finds its way back. In the package, clipping is a few lines of
# ``learning/gradients.py`` (PyTorch: ``clip_grad_norm_``), and the flag is ``--clip-norm``, 0.25 by default. As long as
# gradients are short, it changes nothing.
#
# Clipping cannot repair a *vanished* gradient: there is nothing to make longer. For that, the network itself must
# change. Part 4 shows how.
#
# What you have seen
# ------------------
#
# - The gradient of a state is the sum of two: from its own prediction, and from the next state. So it is computed from
#   the last step to the first.
# - Scan's ``truncate_gradient=k`` drops the losses before the last *k* steps. Windows that carry the state use every
#   loss, and cut only the way back.
# - Each step back multiplies the gradient by a matrix. Products of many matrices vanish or explode.
# - Clipping keeps an exploding gradient from destroying a network. It does not help against a vanishing one.
#
# Exercises
# ---------
#
# Try them before you read on; the solutions follow.
#
# 1. ``backpropagate`` also returns the gradient of the initial state. Check it with central differences. What could you
#    use it for?
# 2. Take the output layer out of the scan: let the scan return :math:`h_t` alone, and compute all scores in one product
#    after it. With ``truncate_gradient=4``, which parameters do the first losses reach now?
# 3. In windows of 35 steps, how many steps does a loss look back on average? How many of 100 losses look back at least
#    10 steps?
# 4. ``recurrent_init="orthogonal"`` starts with an orthogonal :math:`W_{hh}`: a matrix that turns vectors and does not
#    change their length, so all its singular values are 1. What does this change in the picture for tanh?
# 5. A tanh network can explode without any "not a number". Make a network with 32 units and large recurrent weights,
#    make one unclipped update with rate 0.1, and look at the states and at the next gradient of :math:`W_{hh}`.

# %%
# **Solution 1.** Two forward passes for each unit. With this gradient, the initial state can be a parameter that is
# trained, too.
_, d_h_0 = backpropagate(params, x, y, h_0)
for unit, direction in enumerate(1e-5 * np.eye(hidden_size)):
    up, down = (forward(params, x, y, h_0 + sign * direction)[0].sum() for sign in (1, -1))
    assert abs((up - down) / 2e-5 - d_h_0[unit]) < 1e-7

# %%
# **Solution 2.** The losses now reach the output layer at every step, because nothing between them is a scan. The
# recurrent layer still learns from the last four steps alone. (``T.grad`` goes through this scan for :math:`h_t`
# only.)
symbols = {name: T.TensorType("float64", shape=(None,) * value.ndim)(name) for name, value in params.items()}
recurrent = [symbols[name] for name in ("W_xh", "W_hh", "b_h")]
xs, ys, weights = T.matrix("x", dtype="float64"), T.ivector("y"), T.vector("weights", dtype="float64")
hs, _ = aesara.scan(
    lambda x_t, h_tm1, W_xh, W_hh, b_h: T.tanh(T.dot(x_t, W_xh) + T.dot(h_tm1, W_hh) + b_h),
    sequences=[xs],
    outputs_info=[T.constant(h_0)],
    non_sequences=recurrent,
    truncate_gradient=4,
    strict=True,
)
s = T.dot(hs, symbols["W_hy"]) + symbols["b_y"]  # (time, vocab)
scan_losses = T.log(T.exp(s).sum(axis=1)) - s[T.arange(ys.shape[0]), ys]
grads = T.grad((weights * scan_losses).sum(), list(symbols.values()))
output_outside = compile_function([xs, ys, weights, *symbols.values()], grads, engine="jax")
first_loss = np.eye(num_steps)[0]
found = dict(zip(params, map(np.asarray, output_outside(x, y.astype("int32"), first_loss, *params.values()))))
for name in params:
    assert (found[name] == 0).all() == (name in ("W_xh", "W_hh", "b_h"))
    if name in ("W_hy", "b_y"):
        assert np.allclose(found[name], backpropagate(params, x, y, h_0, first_loss)[0][name])

# %%
# **Solution 3.** The loss at step *i* of a window looks back *i* steps, itself included.
steps_back = np.arange(1, 36)
share = (steps_back >= 10).mean()
print(f"on average {steps_back.mean():.0f} steps; at least 10 steps: {100 * share:.0f} of 100 losses")
assert steps_back.mean() == (35 + 1) / 2
assert (steps_back >= 10).sum() == 26  # 26 of 35

# %%
# **Solution 4.** The matrix no longer shrinks anything; only the derivative of tanh does. The gradient still
# vanishes, but more slowly.
config = ModelConfig(
    cell="tanh", vocab_size=num_words, embedding_size=units, hidden_size=units, tie_weights=False, dtype="float64",
    recurrent_init="orthogonal",
)  # fmt: skip
network = RNNLM(config, rng=np.random.default_rng(1))
singular_values = np.linalg.svd(network.params["layer0.W_hh"].get_value(), compute_uv=False)
assert np.allclose(singular_values, 1)
orthogonal, _ = mean_norms(GradientFlow(network, engine="jax"))
factors = [(curve[50] / curve[10]) ** (1 / 40) for curve in (curves["tanh"], orthogonal)]
print(f"tanh, each step back: times {factors[0]:.2f} with uniform W_hh, times {factors[1]:.2f} with orthogonal W_hh")
assert factors[0] + 0.1 < factors[1] < 1

# %%
# **Solution 5.** The update moves the weights so far that every unit is at -1 or 1, whatever it reads. There the
# derivative of tanh is zero: the recurrent layer cannot learn any more. Clipped, the same step leaves the network
# alive.
rng = np.random.default_rng(0)
large = {
    "W_xh": rng.normal(0, 0.3, (8, 32)),
    "W_hh": rng.normal(0, 4 / np.sqrt(32), (32, 32)),
    "b_h": np.zeros(32),
    "W_hy": rng.normal(0, 1 / np.sqrt(32), (32, 8)),
    "b_y": np.zeros(8),
}
x_40, y_40, zeros = rng.normal(size=(40, 8)), rng.integers(8, size=40), np.zeros(32)
gradients, _ = backpropagate(large, x_40, y_40, zeros, weights=1 / 40)
norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
for limit in (np.inf, 1.0):
    scale = min(1, limit / norm)
    updated = {name: large[name] - 0.1 * scale * gradients[name] for name in large}
    _, states, _ = forward(updated, x_40, y_40, zeros)
    saturated = (np.abs(states[1:]) > 0.999).mean()
    next_norm = np.linalg.norm(backpropagate(updated, x_40, y_40, zeros, weights=1 / 40)[0]["W_hh"])
    print(f"limit {limit}: the gradient has norm {norm:.1e}. After the update, {saturated:.0%} of the units are "
          f"saturated, and the gradient of W_hh has norm {next_norm:.1e}")  # fmt: skip
    assert saturated > 0.95 if limit == np.inf else saturated < 0.7
    assert next_norm < 0.1 if limit == np.inf else next_norm > 1
