"""
Part 4: LSTM and GRU
====================

Part 3 ended with a problem: over many steps, the gradient of a simple recurrent network vanishes, so the network cannot
learn what happened long ago. LSTM and GRU solve it with *gates*. In this part you will see

* what one gate does;
* every equation of the LSTM and of the GRU beside its line of code, compared with the package's cells;
* why a cell state keeps the gradient, and what the forget gate's bias has to do with it;
* a task over 50 steps that the tanh network does not learn, and LSTM and GRU do;
* deep and bidirectional networks, and a model that fills in a missing word without seeing it;
* what each part of the package's default recipe does, and what it is worth.

The script takes about a minute on one core. All random numbers come from stated seeds.
"""

# %%
# One gate
# --------
#
# A gate is a number between 0 and 1 that multiplies another number. At 0 it lets nothing pass, at 1 everything. An *if*
# in a program does this too, but an *if* has no derivative: nobody can tell it to open a little more. A gate is
# computed by the sigmoid function, which is smooth, so gradient descent can learn when to open it:
#
# .. math:: \mathrm{sigmoid}(a) = \frac{1}{1 + e^{-a}}
#
# Three gates make a memory: one to write, one to keep, one to read. Here is one unit with gates that we set by hand.
# The candidate *g* is new information, which arrives at every step. The memory is *c*, the output is *h*:
#
# .. math:: c_t = f_t c_{t-1} + i_t g_t, \qquad h_t = o_t \tanh(c_t)
from theano_rnn.engine.compiling import compile_function

# isort: split
import functools

import aesara.tensor as T
import matplotlib.pyplot as plt
import numpy as np

from theano_rnn.learning.checkpoint import assign, values_of
from theano_rnn.model import RNNLM, gradients
from theano_rnn.nn.cells import make_cell
from theano_rnn.nn.encoder import Encoder
from theano_rnn.nn.layers import Layers, projected_over_time
from theano_rnn.nn.unrolling import unroll
from theano_rnn.settings.network import ModelConfig
from theano_rnn.tasks.cloze import Cloze

num_steps = 30
g = np.random.default_rng(0).uniform(-1, 1, num_steps)  # something new at every step
i, f, o = np.zeros(num_steps), np.ones(num_steps), np.zeros(num_steps)
i[5] = 1  # write at step 5 only
o[20:23] = 1  # read at steps 20 to 22
f[26] = 0  # forget at step 26

c, h = np.zeros(num_steps + 1), np.zeros(num_steps)
for t in range(num_steps):
    c[t + 1] = f[t] * c[t] + i[t] * g[t]
    h[t] = o[t] * np.tanh(c[t + 1])
c = c[1:]

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(g, color="0.7", label="g, what arrives")
ax.step(np.arange(num_steps), c, where="mid", linewidth=2, label="c, the memory")
ax.step(np.arange(num_steps), h, where="mid", linewidth=2, label="h, the output")
for step, text in ((5, "write\ni = 1"), (21, "read\no = 1"), (26, "forget\nf = 0")):
    ax.annotate(text, (step, 0), (step, -1.5), ha="center", arrowprops={"arrowstyle": "->"})
ax.set(xlabel="time step", ylabel="value", ylim=(-1.6, 1.1))
ax.legend(fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
plt.show()

assert (c[5:26] == g[5]).all()  # kept for 21 steps, although something new arrived at each
assert (c[26:] == 0).all()
assert (h != 0).sum() == 3

# %%
# In a network there are many such units. Each gate is computed from the present input and the last output, with
# weights of its own. So the network learns what is worth writing, how long to keep it, and when to show it.
#
# LSTM, line by line
# ------------------
#
# The *long short-term memory* (Hochreiter & Schmidhuber 1997; the forget gate: Gers et al. 2000) has two states: the
# cell state *c*, which is the memory, and the hidden state *h*, which is the output. All four products are computed at
# once, with the matrices of the gates side by side. Here ``sums`` is :math:`x_t W_{xh} + h_{t-1} W_{hh} + b_h`, split
# into four blocks of hidden_size columns each, ``a_i``, ``a_f``, ``a_o`` and ``a_g``.
#
# - input gate: :math:`i_t = \mathrm{sigmoid}(x_t W_{xi} + h_{t-1} W_{hi} + b_i)`, in code ``i_t = sigmoid(a_i)``
# - forget gate: :math:`f_t = \mathrm{sigmoid}(x_t W_{xf} + h_{t-1} W_{hf} + b_f)`, in code ``f_t = sigmoid(a_f)``
# - output gate: :math:`o_t = \mathrm{sigmoid}(x_t W_{xo} + h_{t-1} W_{ho} + b_o)`, in code ``o_t = sigmoid(a_o)``
# - candidate: :math:`g_t = \tanh(x_t W_{xg} + h_{t-1} W_{hg} + b_g)`, in code ``g_t = np.tanh(a_g)``
# - cell state: :math:`c_t = f_t c_{t-1} + i_t g_t`, in code ``c_t = f_t * c_tm1 + i_t * g_t``
# - hidden state: :math:`h_t = o_t \tanh(c_t)`, in code ``h_t = o_t * np.tanh(c_t)``
#
# (PyTorch has the same equations, with the blocks in the order i, f, g, o.)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm_step(x_t, h_tm1, c_tm1, W_xh, W_hh, b_h):
    """Returns h_t, c_t and the forget gate f_t, each (batch, hidden)."""
    sums = x_t @ W_xh + h_tm1 @ W_hh + b_h  # (batch, 4 * hidden)
    a_i, a_f, a_o, a_g = np.split(sums, 4, axis=1)
    i_t = sigmoid(a_i)
    f_t = sigmoid(a_f)
    o_t = sigmoid(a_o)
    g_t = np.tanh(a_g)
    c_t = f_t * c_tm1 + i_t * g_t
    h_t = o_t * np.tanh(c_t)
    return h_t, c_t, f_t


# %%
# GRU, line by line
# -----------------
#
# The *gated recurrent unit* (Cho et al. 2014) has one state and three blocks. Its update gate *z* is write and keep in
# one: what is not kept is replaced. This is the form of PyTorch and cuDNN, in which the reset gate *r* multiplies the
# product and not the state.
#
# - reset gate: :math:`r_t = \mathrm{sigmoid}(x_t W_{xr} + h_{t-1} W_{hr} + b_r)`, in code ``r_t = sigmoid(x_r + h_r)``
# - update gate: :math:`z_t = \mathrm{sigmoid}(x_t W_{xz} + h_{t-1} W_{hz} + b_z)`, in code ``z_t = sigmoid(x_z + h_z)``
# - candidate: :math:`n_t = \tanh(x_t W_{xn} + b_n + r_t (h_{t-1} W_{hn} + b_{hn}))`, in code
#   ``n_t = np.tanh(x_n + r_t * (h_n + b_hn))``
# - hidden state: :math:`h_t = (1 - z_t) n_t + z_t h_{t-1}`, in code ``h_t = (1 - z_t) * n_t + z_t * h_tm1``


def gru_step(x_t, h_tm1, W_xh, W_hh, b_h, b_hn):
    """Returns h_t and the update gate z_t, each (batch, hidden)."""
    x_r, x_z, x_n = np.split(x_t @ W_xh + b_h, 3, axis=1)
    h_r, h_z, h_n = np.split(h_tm1 @ W_hh, 3, axis=1)
    r_t = sigmoid(x_r + h_r)
    z_t = sigmoid(x_z + h_z)
    n_t = np.tanh(x_n + r_t * (h_n + b_hn))
    h_t = (1 - z_t) * n_t + z_t * h_tm1
    return h_t, z_t


# %%
# Are these the cells of the package? In ``nn/cells/lstm.py`` and ``nn/cells/gru.py`` a cell is one time step, too,
# with Aesara in place of NumPy. ``unroll`` repeats it over time (it holds the package's only ``aesara.scan``). We run
# both on the same random input in float64 and compare the outputs at every step.
steps, batch_size, input_size, hidden_size = 5, 3, 4, 6


def unrolled(cell):
    """Returns a compiled function of (x, *state): the outputs of `cell` at every step, then its final state."""
    x = T.tensor3("x", dtype="float64")  # (time, batch, input)
    state = [T.matrix(f"state{number}", dtype="float64") for number in range(cell.num_states)]
    projected = projected_over_time(cell, x)  # x_t W_xh + b_h, for all steps at once
    mask = T.ones_like(x[:, :, 0])  # every step is a real one
    (outputs,), final = unroll(cell, projected, mask, state, params=cell.params)
    return compile_function([x, *state], [outputs, *final], engine="jax")


rng = np.random.default_rng(0)
x = rng.normal(size=(steps, batch_size, input_size))
for kind in ("lstm", "gru"):
    cell = make_cell(kind, input_size, hidden_size, rng=rng, dtype="float64")
    values = {name: rng.normal(0, 0.5, p.get_value().shape) for name, p in cell.params.items()}  # biases, too
    assign(cell.params, values)
    state = [rng.normal(size=(batch_size, hidden_size)) for _ in range(cell.num_states)]
    by_package = np.asarray(unrolled(cell)(x, *state)[0])
    by_hand = []
    for x_t in x:
        if kind == "lstm":
            h_t, c_t, _ = lstm_step(x_t, *state, *values.values())
            state = [h_t, c_t]
        else:
            h_t, _ = gru_step(x_t, *state, *values.values())
            state = [h_t]
        by_hand.append(h_t)
    difference = np.abs(by_package - np.stack(by_hand)).max()
    print(f"{kind}: largest difference between the package's cell and ours {difference:.0e}")
    assert difference < 1e-10

# %%
# Why the cell state keeps the gradient
# -------------------------------------
#
# In a tanh network, the way from :math:`h_{t-1}` to :math:`h_t` leads through a matrix and through tanh. Look at the
# way from :math:`c_{t-1}` to :math:`c_t`: there is only a factor, the forget gate. Over *k* steps, along this way,
#
# .. math:: \frac{\partial c_t}{\partial c_{t-k}} = \prod_{j=t-k+1}^{t} f_j
#
# for each unit on its own. If a forget gate stays at 1, the gradient arrives undiminished, however long the way is. No
# matrix is on this way, so nothing forces the gradient to vanish or to explode. (There is a second way, through *h* and
# the gates of the next step. It leads through a matrix, as in a tanh network.)
#
# Where is the forget gate before training? The sums are near zero, so the bias decides. With bias 0 the gate is at
# sigmoid(0) = 0.5: a half-life of one step. The package starts with bias 1, as Jozefowicz et al. (2015) recommend:
# 0.73. With bias 4, it is at 0.98.
#
# We measure the gradient of the cell state with respect to the cell state *k* steps before. A small trick computes all
# *k* in one call. Each column of the batch gets a mask with *k* ones; a masked step copies the state. So column *k* has
# exactly *k* steps behind it.
lags, units, samples = 50, 32, 8
columns = lags * samples
rng = np.random.default_rng(1)
v = rng.normal(size=units)  # the gradient that arrives at the last state, the same for all
inputs = rng.normal(size=(lags, samples, 16))
inputs = np.repeat(inputs, lags, axis=1)  # (time, samples * lags, input): each sample with every lag
steps_of_column = np.tile(np.arange(1, lags + 1), samples)
mask = (np.arange(lags)[:, None] < steps_of_column).astype("float64")  # (time, columns)


def norm_by_lag(kind):
    """Returns a function of the bias that computes the norm of d (state_t v) / d state_(t-k) for k = 1 .. lags."""
    cell = make_cell(kind, 16, units, rng=np.random.default_rng(2), dtype="float64")
    projected, mask_ = T.tensor3("projected", dtype="float64"), T.matrix("mask", dtype="float64")
    state = [T.matrix(f"state{number}", dtype="float64") for number in range(cell.num_states)]
    _, final = unroll(cell, projected, mask_, state, params=cell.params)
    found = gradients(T.dot(final[-1], v).sum(), {"state": state[-1]})["state"]  # LSTM: of c; tanh: of h
    function = compile_function([projected, mask_, *state], [found], engine="jax")

    def norms(b_h):
        values = inputs @ cell.params["W_xh"].get_value() + b_h  # (time, columns, blocks * units)
        (found,) = function(values, mask, *cell.initial_state(columns))  # (columns, units)
        shares = np.linalg.norm(np.asarray(found), axis=1) / np.linalg.norm(v)
        return np.exp(np.log(shares).reshape(samples, lags).mean(axis=0))  # the geometric mean over the samples

    return norms


def lstm_bias(forget_bias):
    return np.repeat([0.0, forget_bias, 0.0, 0.0], units)  # the blocks i, f, o, g


lstm_norms = norm_by_lag("lstm")
kept = {f"LSTM, forget bias {value:g}": lstm_norms(lstm_bias(value)) for value in (0.0, 1.0, 4.0)}
kept["tanh"] = norm_by_lag("tanh")(np.zeros(units))

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, norms in kept.items():
    ax.semilogy(np.arange(1, lags + 1), norms, label=name)
ax.set_prop_cycle(None)
for value in (0.0, 1.0, 4.0):
    ax.semilogy(np.arange(1, lags + 1), sigmoid(value) ** np.arange(1, lags + 1), "--", linewidth=1)
ax.set(xlabel="k, steps back", ylabel="share of the gradient that is left", ylim=(1e-20, 10))
ax.legend(fontsize=9)
ax.grid(alpha=0.3)
plt.show()

for name, norms in kept.items():
    print(f"{name:>20}: after 10 steps {norms[9]:.0e}, after 50 steps {norms[49]:.0e}")

# %%
# The dashed lines are :math:`\mathrm{sigmoid}(b)^k`: the first way alone, with forget gates that are exactly at their
# bias. The full gradient is larger here: the second way adds to it. With bias 0 or 1 it falls as steadily as in a
# tanh network; with bias 4 it stays. So an LSTM is not free of vanishing gradients by nature. It keeps what its
# forget gates keep, and it can *learn* to hold them near 1. A tanh network has nothing of the kind to learn.
assert kept["LSTM, forget bias 4"][49] > 0.01
assert kept["LSTM, forget bias 1"][49] > 1e3 * kept["LSTM, forget bias 0"][49]
assert kept["LSTM, forget bias 1"][49] > 1e3 * kept["tanh"][49]

# %%
# Fifty steps of memory
# ---------------------
#
# A task that needs memory and nothing else. The first of 51 tokens is one of four symbols. Then come blanks, and at 15
# random places a question: "which symbol was the first?" While the network learns, questions come early and late. It is
# tested with one question, after 50 steps. Guessing is right in one case of four.
num_symbols, lag, num_questions, batch_size = 4, 50, 15, 64
blank, question = num_symbols, num_symbols + 1
every_step = np.ones((lag + 1, batch_size), "float32")


def recall_batch(rng, is_test=False):
    """Returns tokens and targets, int32 (time, batch). Wherever there is no question, the target is a blank."""
    tokens, targets = (np.full((lag + 1, batch_size), blank, "int32") for _ in range(2))
    symbols, columns = rng.integers(num_symbols, size=batch_size), np.arange(batch_size)
    tokens[0] = symbols
    places = np.full((1, batch_size), lag) if is_test else rng.integers(1, lag + 1, size=(num_questions, batch_size))
    for place in places:
        tokens[place, columns], targets[place, columns] = question, symbols
    return tokens, targets


def recall_config(kind):
    return ModelConfig(cell=kind, vocab_size=num_symbols + 2, embedding_size=16, hidden_size=units, tie_weights=False)


# %%
# All networks have the same sizes, data and optimizer (Adam, rate 0.03, gradients clipped to norm 1). There are three
# seeds each. Training ends when more than 95 % of 256 test questions are answered rightly, or when the budget of
# updates is used up.
@functools.cache
def recall_network(kind):
    """Returns a model for the task, its compiled functions, and its optimizer's initial state."""
    model = RNNLM(recall_config(kind), rng=np.random.default_rng(0))
    functions = model.compile("train", "predict", engine="jax", optimizer="adam", clip_norm=1.0)
    return model, functions, values_of(model.optimizer_state)


def recall(kind, forget_bias=1.0, budget=800, seeds=(0, 1, 2)):
    """Returns, for each seed, the share of right answers and the number of updates; and the last parameters."""
    model, functions, fresh = recall_network(kind)
    state, results = model.initial_state(batch_size), []
    for seed in seeds:
        assign(model.params, values_of(RNNLM(recall_config(kind), rng=np.random.default_rng(seed)).params))
        assign(model.optimizer_state, fresh)
        if kind == "lstm":
            model.params["layer0.b_h"].set_value(lstm_bias(forget_bias).astype("float32"))
        rng, share, updates = np.random.default_rng([1, seed]), 0.0, 0
        while share <= 0.95 and updates < budget:
            for _ in range(50):
                functions.train(*recall_batch(rng), every_step, *state, np.float32(0.03))
            updates += 50
            right = []
            for _ in range(4):
                tokens, targets = recall_batch(rng, is_test=True)
                log_p = np.asarray(functions.predict(tokens, every_step, *state)[0])  # (time, batch, vocab)
                right.append((log_p[-1].argmax(axis=1) == targets[-1]).mean())
            share = float(np.mean(right))
        results.append((share, updates))
    return results, values_of(model.params)


runs = {
    "tanh": recall("tanh", budget=400),  # less than the others may use, but more than they need
    "GRU": recall("gru"),
    "LSTM, forget bias 1": recall("lstm"),
    "LSTM, forget bias 4": recall("lstm", forget_bias=4.0),
}
for name, (results, _) in runs.items():
    print(f"{name:>20}: " + "; ".join(f"{share:.0%} after {updates} updates" for share, updates in results))

median = {name: np.median([share for share, _ in results]) for name, (results, _) in runs.items()}
assert median["tanh"] < 0.6
assert min(median["GRU"], median["LSTM, forget bias 1"], median["LSTM, forget bias 4"]) > 0.9

# %%
# The gated networks learn it. Of the three tanh networks, at least two only guess. (The test
# ``tests/test_long_lags.py`` repeats this with more seeds and a larger budget.) What did the LSTM learn? We look at its
# forget gates while it reads fifty blanks.
params = runs["LSTM, forget bias 1"][1]
weights = [np.asarray(params[name], "float64") for name in ("layer0.W_xh", "layer0.W_hh", "layer0.b_h")]
tokens, _ = recall_batch(np.random.default_rng(5), is_test=True)
h_t, c_t = np.zeros((2, batch_size, units))
product = np.ones((batch_size, units))
for step, tokens_t in enumerate(tokens):
    h_t, c_t, f_t = lstm_step(params["embedding"][tokens_t], h_t, c_t, *weights)
    if step > 0:
        product *= f_t  # over 50 steps: all but the first
best = np.sort(product.mean(axis=0))[::-1]
print(f"product of the forget gate over 50 steps: {sigmoid(1) ** 50:.0e} at bias 1, before training; in the three best "
      f"units of the trained network {best[0]:.2f}, {best[1]:.2f}, {best[2]:.2f}")  # fmt: skip
assert best[0] > 0.01

# %%
# Before training, the gates would let a ten-millionth pass; the trained network has units that keep everything. This is
# what "long short-term memory" means: the network has learned to hold a few gates open.
#
# The GRU learned this task fastest. That alone does not make it the better cell: the table at the end compares the
# two on a novel.
#
# Deep networks
# -------------
#
# A layer reads a sequence of vectors and writes a sequence of vectors. So layers can be stacked: the outputs of one are
# the inputs of the next. In the package, ``nn/layers.py`` does it, and the flag is ``--num-layers``. With our own step:
layers = Layers("lstm", input_size, hidden_size, 2, rng=np.random.default_rng(3), dtype="float64")
x_ = T.tensor3("x", dtype="float64")
states = [T.matrix(f"state{number}", dtype="float64") for number in range(layers.num_states)]
(top, *_), _ = layers.run(layers.project_over_time(x_), T.ones_like(x_[:, :, 0]), states)
two_layers = compile_function([x_, *states], [top], engine="jax")

h_0, c_0, h_1, c_1 = layers.initial_state(x.shape[1])  # of layer 0 and of layer 1
values = {name: p.get_value() for name, p in layers.params.items()}
outputs = []
for x_t in x:
    h_0, c_0, _ = lstm_step(x_t, h_0, c_0, *(values[f"layer0.{name}"] for name in ("W_xh", "W_hh", "b_h")))
    h_1, c_1, _ = lstm_step(h_0, h_1, c_1, *(values[f"layer1.{name}"] for name in ("W_xh", "W_hh", "b_h")))
    outputs.append(h_1)
assert np.allclose(two_layers(x, *layers.initial_state(x.shape[1]))[0], outputs, atol=1e-10)

# %%
# Bidirectional networks, and the missing word
# --------------------------------------------
#
# A language model may not look ahead: the next word is what it must predict. But if the whole sentence is there and
# one word is missing, the words after the gap help as much as those before it. Here one network reads from the left,
# and another one from the right. The question is where to join them, because *a word must not see itself*: a model
# that reads the missing word need only copy it, and learns nothing else.
#
# An ``Encoder`` (``nn/encoder.py``) joins both directions after every level. With one level, the forward output at
# *t* - 1 has read the words before *t*, and the backward output at *t* + 1 those after *t*. Together they are a fair
# basis for a guess. With two levels they are not: on the second level, the forward layer reads at *t* - 1 what the
# backward layer of the first level wrote there, and that layer has already read word *t*. We change one word and see
# what moves:


def context_of(num_levels):
    """Returns a function of x (time, batch, input): both outputs at every step, (time, batch, 2 * hidden)."""
    encoder = Encoder("tanh", input_size, hidden_size, num_levels, rng=np.random.default_rng(4), dtype="float64")
    x = T.tensor3("x", dtype="float64")
    state = [T.constant(array) for array in encoder.initial_state(batch_size)]
    outputs, _ = encoder.run(x, T.ones_like(x[:, :, 0]), state)
    return compile_function([x], [outputs], engine="jax")


batch_size, position = x.shape[1], 2
changed = x.copy()
changed[position] += 1.0  # another word at this position
for num_levels in (1, 2):
    run_encoder = context_of(num_levels)
    before, after = (np.asarray(run_encoder(words)[0]) for words in (x, changed))
    moved = np.abs(after - before)
    forward, backward = moved[position - 1, :, :hidden_size].max(), moved[position + 1, :, hidden_size:].max()
    print(f"{num_levels} level(s): the context of the word moves by {max(forward, backward):.3f}")
    assert (max(forward, backward) == 0) == (num_levels == 1)

# %%
# So the package's model of a missing word, ``Cloze`` (``tasks/cloze.py``; the flag is ``--task fill``), keeps two
# stacks apart and joins them once, after their last layers:
#
# .. math:: h_t = \tanh([\mathrm{forward}_{t-1}, \mathrm{backward}_{t+1}] \, W_{join} + b_{join})
#
# We train it on 18 sentences such as "the king wears his crown" and "the queen loves her book". Kings have "his",
# queens "her", and all else is free. For comparison, a language model learns the same sentences. Which word is
# missing in "the ___ wears his crown"?
people, verbs, things = (("king", "his"), ("queen", "her")), ("wears", "holds", "loves"), ("crown", "ring", "book")
sentences = [
    ["the", person, verb, whose, thing] for person, whose in people for verb in verbs for thing in things
]  # fmt: skip
words = sorted({word for sentence in sentences for word in sentence})
ids = {word: number for number, word in enumerate(words, start=2)}  # 0 is <unk>, 1 is </s>, as everywhere here
vocab_size = len(words) + 2
targets = np.array([[ids[word] for word in sentence] for sentence in sentences], "int32").T  # (time, sentences)
start = np.full((1, len(sentences)), vocab_size + 1, "int32")  # the id before the first word
tokens = np.vstack([start, targets[:-1]])  # at each step, the word before the target
every_word = np.ones(targets.shape, "float32")
config = ModelConfig(cell="tanh", vocab_size=vocab_size, embedding_size=16, hidden_size=16, tie_weights=False)

guess = {}
for kind in (RNNLM, Cloze):
    model = kind(config, rng=np.random.default_rng(0))
    functions = model.compile("train", "predict", engine="jax", optimizer="adam", clip_norm=1.0)
    state = model.initial_state(len(sentences))
    for _ in range(150):
        functions.train(tokens, targets, every_word, *state, np.float32(0.02))
    inputs_of = (tokens, every_word) if kind is RNNLM else (tokens, targets, every_word)
    p = np.exp(np.asarray(functions.predict(*inputs_of, *state)[0]))  # (time, sentences, vocab)
    column = sentences.index(["the", "king", "wears", "his", "crown"])
    guess[kind.__name__] = p[1, column, [ids["king"], ids["queen"]]]
    print(f"{kind.__name__}: king {guess[kind.__name__][0]:.2f}, queen {guess[kind.__name__][1]:.2f}")
assert abs(guess["RNNLM"][0] - 0.5) < 0.1  # it has not read "his" yet
assert guess["Cloze"][0] > 0.9

# %%
# Does ``Cloze`` really not see the word? At each place in turn, we write other words into all sentences, and look how
# much the prediction at every place moves. At the place itself it must not move, not even in the last bit.
moved = np.zeros((5, 5))
for place in range(5):
    other = targets.copy()
    other[place] = np.where(targets[place] == ids["king"], ids["queen"], ids["king"])
    shifted = np.vstack([start, other[:-1]])
    q = np.exp(np.asarray(functions.predict(shifted, other, every_word, *state)[0]))
    moved[place] = np.abs(q - p).max(axis=(1, 2))
print("largest change of a probability, by changed word (row) and predicted word (column)")
print(np.round(moved, 2))
assert (np.diag(moved) == 0).all()
assert moved[3, 1] > 0.5  # "his" or "her" decides between "king" and "queen",
assert moved[1, 3] > 0.5  # and the other way round

# %%
# The default recipe
# ------------------
#
# ``theano-rnn train`` without flags trains an LSTM in a way that has proved itself on novels. Each part of it is a
# flag. You have met most of them in this tutorial:
#
# - *Tied weights* (``--tie-weights``, on): the output layer uses the matrix of the word vectors, too. Words that are
#   read alike are then also predicted alike, and there are far fewer parameters.
# - *Dropout* (``--dropout``, 0.4 for a novel): in training, a random 40 % of the numbers in the word vectors, between
#   layers, and in the last layer's outputs are set to zero, and the others are scaled up. So the network cannot rely on
#   any single number, and learns less of its text by heart.
# - *Adaptive softmax* (``--head``, from 5,000 words on): rare words are in clusters. Most predictions need only the
#   scores of the frequent words and of the clusters, so a step takes less time.
# - *Adam* (``--optimizer``): each parameter has a step size of its own, from the mean square of its recent gradients.
# - *Schedule* (``--schedule``, linear): the learning rate falls in a straight line to zero. Large steps find a good
#   region, small ones find its bottom.
# - *Clipping* (``--clip-norm``, 0.25): long gradients are shortened (part 3).
# - *Windows* (``--bptt-steps``, 35): the number of steps of backpropagation through time (part 3).
# - *Averages* (``--average-decay``, off): the result is a running average of the parameters, which smooths the noise of
#   the last updates.
#
# What is each worth? That depends on the text and on the network, so it must be measured. We took one novel,
# *Persuasion*: 82,439 tokens to train on, 9,973 for validation, 5,589 words. The network is an LSTM of 100 units, and a
# batch has 10 windows of 35 steps. Training takes 12 epochs, and the best one counts. These are the commands, with the
# flags of one row at the end, and ``--seed 1`` or ``--seed 2``::
#
#     theano-rnn train --train data/austen/persuasion.txt --valid-fraction 0.1 --test-fraction 0.1 \
#         --preset none --hidden-size 100 --embedding-size 100 --batch-size 10 --epochs 12
#
# The script ``benchmarks/ablation.py`` runs all rows. Perplexity on the validation part, for seeds 1 and 2::
#
#     default                                          129.9  125.2
#     --dropout 0                                      127.7  121.3
#     --schedule constant                              125.6  120.9
#     --clip-norm 0                                    128.5  122.4
#     --average-decay 0.99                             130.2  125.3
#     --head softmax                                   126.8  123.8
#     --head softmax --no-tie-weights                  128.8  130.7
#     --optimizer sgd --learning-rate 20                98.4   99.6
#     --cell gru                                       117.5  115.8
#     --cell tanh                                      127.6  127.9
#     --epochs 24                                      126.2  121.5
#     --epochs 24 --dropout 0                          127.2  120.5
#     --batch-size 20                                  136.6  131.1
#     --bptt-steps 5 --batch-size 70                   132.0  126.3
#
# Two seeds of the default differ by 4 %, so look at both columns before you believe a difference. What we read from
# this:
#
# - Tied weights help: with the full softmax, perplexity is 2 and 5 % lower than without them.
# - The adaptive softmax costs 1 to 3 % in perplexity and saves 40 % of the time: 74 seconds of CPU time in place of
#   127.
# - Dropout, clipping, averages and the falling rate bring nothing on *this* text. Without them, perplexity is the same
#   or up to 4 % lower. The network without dropout is at its best after 4 epochs, and then learns its text by heart.
# - Windows of 5 steps, seven times as many side by side, cost 1 to 2 %. So a short way back is nearly enough here. It
#   fits to this that a tanh network does as well as the LSTM.
# - A GRU is 8 to 10 % better. Stochastic gradient descent with a large rate and clipped gradients is better than Adam
#   by 20 to 24 %.
#
# The default recipe was chosen on six novels, ten times as much text, with 200 units (``RESULTS.md``). It is not the
# best for every text, and no recipe is. On your own text, try SGD and a GRU, with more than one seed.
#
# What you have seen
# ------------------
#
# - A gate is a factor between 0 and 1 that is learned. Three gates write, keep and read a memory.
# - Along the cell state, the gradient is multiplied by the forget gates and by nothing else. Where they stay at 1, it
#   does not vanish. A forget bias of 1 or more gives it a good start.
# - LSTM and GRU learn to remember something for 50 steps; a tanh network of the same size does not.
# - A model of a missing word keeps what it reads from the left and from the right apart until the end. Otherwise the
#   word leaks into its own prediction.
# - No recipe is the best for every text. Measure, and with more than one seed.
#
# From here: the four chapters of the package (``preprocessing.py``, ``model.py``, ``training.py``,
# ``language_model.py``) are written to be read in this order, and you know all of their equations now.
#
# Exercises
# ---------
#
# Try them before you read the solutions. Each solution runs, and its assertions check the answer.
#
# 1. *Sizes.* How many parameters has a tanh cell, an LSTM and a GRU with 200 inputs and 200 units?
# 2. *A latch.* Choose the weights of an LSTM with one unit and two inputs, "up" and "down". Most of the time both are
#    0. The sign of its output must always tell which of them came last. Do it by hand, without training.
# 3. *Counting.* With which gates does an LSTM count its steps in :math:`c`? Can the state of a GRU do the same?
# 4. *The gate of the GRU.* Give the update gate a bias of 4 and measure the gradient over 50 steps as above. Why could
#    such a network be slow to learn other things?
# 5. *Too good.* Somebody builds a language model with a bidirectional network and reports a perplexity near 1. What is
#    wrong? What does the package do if you try?

# %%
# **Solution 1.** Each block has a matrix for the input, one for the state, and a bias. An LSTM has four blocks, a GRU
# three and a second bias.
inputs_, units_ = 200, 200
block = (inputs_ + units_ + 1) * units_
for kind, expected in {"tanh": block, "lstm": 4 * block, "gru": 3 * block + units_}.items():
    cell = make_cell(kind, inputs_, units_, rng=np.random.default_rng(0), dtype="float32")
    number = sum(p.get_value().size for p in cell.params.values())
    print(f"{kind:>4}: {number:,} parameters")
    assert number == expected

# %%
# **Solution 2.** When a signal comes, the input gate opens and the forget gate closes: the old memory is replaced.
# Else the input gate is closed, and the forget gate open. The output gate is always open. sigmoid(10) is 0.99995, so
# the memory fades by a factor of 0.95 in 1,000 steps; with a bias of 20 it would last much longer.
W_xh = np.array([[20.0, -20.0, 0.0, 10.0], [20.0, -20.0, 0.0, -10.0]])  # rows: up, down; columns: i, f, o, g
W_hh, b_h = np.zeros((1, 4)), np.array([-10.0, 10.0, 10.0, 0.0])
rng = np.random.default_rng(6)
h_t, c_t, last = np.zeros((1, 1)), np.zeros((1, 1)), 0
for _ in range(1000):
    signal = rng.choice([0, 1, -1], p=[0.96, 0.02, 0.02])
    x_t = np.array([[float(signal == 1), float(signal == -1)]])
    h_t, c_t, _ = lstm_step(x_t, h_t, c_t, W_xh, W_hh, b_h)
    last = signal or last
    assert last == 0 or np.sign(h_t[0, 0]) == last

# %%
# **Solution 3.** With all gates at 1 and :math:`g = 1`, the cell state is the number of steps. Nothing bounds it. The
# state of a GRU is a weighted mean of its last state and of a tanh, so it never leaves the interval from -1 to 1,
# whatever the weights are.
h_t, c_t = np.zeros((1, 1)), np.zeros((1, 1))
for _ in range(100):
    h_t, c_t, _ = lstm_step(np.zeros((1, 2)), h_t, c_t, np.zeros((2, 4)), W_hh, np.full(4, 20.0))
assert np.isclose(c_t[0, 0], 100, atol=0.01)

h_t = np.zeros((1, 6))
for _ in range(100):
    arrays = [rng.normal(0, 3, shape) for shape in ((1, 4), (4, 18), (6, 18), 18, 6)]
    x_t, *weights_ = arrays
    h_t, _ = gru_step(x_t, h_t, *weights_)
    assert np.abs(h_t).max() <= 1

# %%
# **Solution 4.** The update gate starts at sigmoid(4) = 0.98 and keeps the gradient, as the forget gate of an LSTM
# does. But what is kept is not replaced: of the candidate, only 2 % enter at each step. An LSTM can do both at once,
# because it has two gates for the two things.
gru_norms = norm_by_lag("gru")
left = {value: gru_norms(np.repeat([0.0, value, 0.0], units))[49] for value in (0.0, 4.0)}
print(f"left after 50 steps: {left[0.0]:.0e} with bias 0, {left[4.0]:.2f} with bias 4")
assert left[0.0] < 1e-3
assert left[4.0] > 0.05

# %%
# **Solution 5.** The backward half has read the next word before it is "predicted". The package refuses to build it.
config = ModelConfig(vocab_size=10, embedding_size=4, hidden_size=4)
both_directions = Encoder("lstm", 4, 4, 1, rng=np.random.default_rng(0), dtype="float32")
try:
    RNNLM(config, rng=np.random.default_rng(0), layers=both_directions)
except ValueError as error:
    message = str(error)
print(message)
assert "see the future" in message
