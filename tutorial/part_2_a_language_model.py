r"""
Part 2: A language model in Aesara
==================================

This part builds a recurrent language model and trains it on a novel. First you see how a text becomes arrays of
numbers. Then you write the network twice: as a loop in NumPy, and as a *symbolic graph* in Aesara, which finds all
derivatives and compiles itself. You check that both give the same numbers, and that a derivative is right. You train
the network, look at its learning curves, and read what it writes. At the end, you build the same network from the parts
of this package.

Read part 1, ``part_1_recurrent_networks.py``, first. If you knew Theano: Aesara is its successor, and most names are
the same. ``theano.scan`` is now ``aesara.scan``, and ``theano.tensor`` is ``aesara.tensor``.

The script takes about a minute on one core. Its random numbers have fixed seeds.
"""

# %%
# Text becomes ids
# ----------------
#
# The text is *Emma* by Jane Austen, one of the six novels in the folder ``data/austen`` of this repository. Any other
# English text in a plain text file will do: change ``path`` below. First, NLTK, a well-known library for natural
# language, splits the text into sentences, and the sentences into tokens. The package prepares NLTK for this: it adds a
# list of abbreviations such as *Mr.*, and it needs no download.

from pathlib import Path

import theano_rnn  # before aesara: it prepares Aesara's settings
from theano_rnn.settings.text import CorpusConfig, TextConfig
from theano_rnn.text.words import detokenize, sentence_splitter, word_tokenizer

path = Path(theano_rnn.__file__).resolve().parents[1] / "data" / "austen" / "emma.txt"

text_config = TextConfig()
split_sentences, split_words = sentence_splitter(text_config), word_tokenizer(text_config)
for sentence in split_sentences("Mr. Knightley smiled. Emma, you can't be serious!"):
    print(split_words(sentence))

# %%
# "Mr." does not end a sentence, and "can't" becomes two tokens, *ca* and *n't*. So the network can learn once what
# *n't* means, instead of once for each verb.
#
# ``load_corpus`` does this for a whole file. It keeps the end of the file for validation, here one tenth of the
# sentences. It builds the vocabulary from the training part only, because the validation part stands for text that
# nobody has seen. We keep 1,000 tokens: the 998 most frequent words, ``<unk>`` for all other words, and ``</s>`` for
# the end of a sentence.

from theano_rnn.preprocessing import load_corpus

corpus_config = CorpusConfig(train=(str(path),), vocab_size=1000, valid_fraction=0.1, test_fraction=0)
corpus = load_corpus(corpus_config, text_config, num_workers=1)  # 1: in this process alone
vocabulary = corpus.vocabulary
vocab_size = vocabulary.vocab_size
print(f"{len(corpus.train):,} training tokens, {len(corpus.valid):,} validation tokens")
print("the most frequent words:", *vocabulary.words[:10])
print("ids in the novel:", corpus.train[60:70].tolist())
print("their tokens:    ", *vocabulary.decode(corpus.train[60:70]))
assert vocab_size == 1000

# %%
# Sentences become batches
# ------------------------
#
# To stay quick, this tutorial keeps only sentences of 4 to 20 tokens. Sentences differ in length, but an array has a
# fixed shape. So each sentence is *padded* to 20 steps, and a *mask* says which steps are real. Three arrays describe
# a batch, each of the shape (time, batch):
#
# - ``tokens`` is what the network reads: ``<s>``, the start of a sentence, and then the sentence without its last
#   token.
# - ``targets`` is what the network should predict: at each step the token that comes next.
# - ``mask`` is 1 where there is a target, and 0 for padding.

import numpy as np

MAX_LENGTH = 20


def short_sentences(ids):
    """Returns the sentences of 4 to MAX_LENGTH tokens, each an array of ids that ends with </s>."""
    ends = np.flatnonzero(ids == vocabulary.eos_id) + 1
    return [sentence for sentence in np.split(ids, ends) if 4 <= len(sentence) <= MAX_LENGTH]


def make_batch(sentences):
    """Returns tokens, targets and mask, each (time, batch), with a column for each sentence."""
    shape = MAX_LENGTH, len(sentences)
    tokens = np.full(shape, vocabulary.pad_id, "int32")
    targets = np.zeros(shape, "int32")
    mask = np.zeros(shape, "float32")
    for column, sentence in enumerate(sentences):
        length = len(sentence)
        tokens[0, column] = vocabulary.bos_id
        tokens[1:length, column] = sentence[:-1]
        targets[:length, column] = sentence
        mask[:length, column] = 1
    return tokens, targets, mask


training_sentences, validation_sentences = short_sentences(corpus.train), short_sentences(corpus.valid)
validation_batch = make_batch(validation_sentences)
all_ids = np.concatenate(training_sentences)
print(f"{len(training_sentences):,} training sentences, {len(validation_sentences):,} validation sentences")
print(f"{len(all_ids):,} training tokens, {100 * np.mean(all_ids == vocabulary.unk_id):.0f} % of them unknown words")
assert 35_000 < len(all_ids) < 45_000

example = next(sentence for sentence in training_sentences if vocabulary.unk_id not in sentence)
tokens, targets, mask = make_batch([example])
print("reads:    ", *vocabulary.decode(tokens[: len(example), 0]))
print("predicts: ", *vocabulary.decode(targets[: len(example), 0]))
assert mask.sum() == len(example)

# %%
# The network in NumPy
# --------------------
#
# The network has six arrays of parameters. Each of the 1,000 tokens, and also ``<pad>`` and ``<s>``, has a row of the
# matrix ``embedding``; this row is the input :math:`x_t`. With a hidden state of 100 units, the network is
#
# .. math::
#
#    x_t = \mathrm{embedding}[\mathrm{token}_t]
#
# .. math::
#
#    h_t = \tanh(x_t W_{xh} + h_{t-1} W_{hh} + b_h)
#
# .. math::
#
#    P(\mathrm{token}_{t+1}) = \mathrm{softmax}(h_t W_{hy} + b_y)
#
# In the WildML series (see part 1), :math:`x_t` is a vector of zeros with a single 1 at the position of the token, and
# the product :math:`U x_t` picks one column of :math:`U`. Here we look up one row of a matrix instead, which is the
# same and takes less time. So our product ``embedding @ W_xh`` plays the part of :math:`U`, ``W_hh`` that of :math:`W`,
# and ``W_hy`` that of :math:`V`; they are transposed, because our vectors are rows.
#
# The weights start as small random numbers: uniform between :math:`-1/\sqrt{n}` and :math:`1/\sqrt{n}` for a matrix of
# :math:`n` rows. A product with such a matrix adds up :math:`n` terms of random signs, and a sum of this kind grows
# like :math:`\sqrt{n}`; the factor :math:`1/\sqrt{n}` makes up for that. There are three exceptions. The embedding
# starts with normally distributed numbers that are small, so that what a row learns soon outweighs its random start;
# ``W_xh`` starts ten times larger to make up for the small embedding. The output matrix starts ten times smaller, so
# that at first all tokens are almost equally likely.

EMBEDDING_SIZE, HIDDEN_SIZE = 64, 100


def initial_values(seed=1):
    """Returns the initial values of the parameters, float32 arrays by name."""
    rng = np.random.default_rng(seed)

    def uniform(num_rows, num_columns):
        return rng.uniform(-1, 1, (num_rows, num_columns)) / np.sqrt(num_rows)

    values = {
        "embedding": 0.1 * rng.normal(size=(vocab_size + 2, EMBEDDING_SIZE)),
        "W_xh": 10 * uniform(EMBEDDING_SIZE, HIDDEN_SIZE),
        "W_hh": uniform(HIDDEN_SIZE, HIDDEN_SIZE),
        "b_h": np.zeros(HIDDEN_SIZE),
        "W_hy": 0.1 * uniform(HIDDEN_SIZE, vocab_size),
        "b_y": np.zeros(vocab_size),
    }
    return {name: value.astype("float32") for name, value in values.items()}


def numpy_log_probabilities(values, tokens):
    """Returns ln P of every token of the vocabulary at every step: (time, batch, vocab)."""
    x = values["embedding"][tokens]  # (time, batch, embedding)
    projected = x @ values["W_xh"] + values["b_h"]  # (time, batch, hidden)
    h_t = np.zeros_like(projected[0])  # (batch, hidden)
    states = []
    for projected_t in projected:
        h_t = np.tanh(projected_t + h_t @ values["W_hh"])
        states.append(h_t)
    scores = np.stack(states) @ values["W_hy"] + values["b_y"]  # (time, batch, vocab)
    scores = scores - scores.max(axis=-1, keepdims=True)  # prevents overflow
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def numpy_loss(values, tokens, targets, mask):
    """Returns the mean of -ln P(target) over all real targets, in nats per token."""
    log_p = numpy_log_probabilities(values, tokens)
    time, batch = np.indices(targets.shape)  # the place of each target
    losses = -log_p[time, batch, targets]  # of the target at each place: (time, batch)
    return (losses * mask).sum() / mask.sum()


values = initial_values()
loss_in_numpy = numpy_loss(values, *validation_batch)
print(f"loss in NumPy, before training: {loss_in_numpy:.4f} nats; ln {vocab_size} = {np.log(vocab_size):.4f}")
assert abs(loss_in_numpy - np.log(vocab_size)) < 0.1

# %%
# Before training, the network knows nothing, and its loss is near :math:`\ln 1000 = 6.91`. Look for this number
# whenever you start to train a network. If the first loss is far from it, look for a mistake, or for initial weights
# that are too large.
#
# Two details of this code are worth a second look:
#
# - The product ``x @ W_xh`` does not depend on the state. So it is computed for all steps at once, before the loop:
#   one large product instead of 20 small ones. In the same way, the product with ``W_hy`` and the softmax come after
#   the loop. Only what must wait for the previous state is in the loop.
# - The recurrence needs no mask. Padding comes after the end of a sentence, so it cannot influence the real steps
#   before it. The loss needs the mask, and divides by the number of real targets.
#
# To train this network, we need the derivative of the loss with respect to each of its parameters. Writing that by
# hand is possible, and part 3 does it. But each change of the network would need new derivatives. Aesara derives them
# for us.
#
# A symbolic graph
# ----------------
#
# In NumPy, ``a * b`` is a number, computed at once. In Aesara it is a *symbol*: an object that knows it is the product
# of ``a`` and ``b``. Symbols of symbols form a graph. From the graph, Aesara can do two things that are impossible with
# a mere number: ``T.grad`` builds the graph of the derivative, and a compiler turns graphs into fast functions. (In
# PyTorch, numbers are computed at once too, and a record of the computation serves for the derivative.)

import aesara
import aesara.tensor as T

from theano_rnn.engine.compiling import compile_function

x = T.scalar("x", dtype="float32")
y = x**2 + 3 * x
slope = T.grad(y, x)  # the symbol of 2 x + 3
print("y is the symbol", aesara.pprint(y))

evaluate = compile_function([x], [y, slope], engine="jax", device="cpu")
y_value, slope_value = evaluate(np.float32(2))  # of the same type as x
print("at x = 2: y =", float(y_value), "and the slope is", float(slope_value))
assert float(y_value) == 10
assert float(slope_value) == 7

# %%
# If you have never used Theano, go on to the next heading. Users of Theano will ask where ``aesara.function`` is. It
# is still there. ``compile_function`` also takes a list of inputs, a list of outputs and, as its third argument, a list
# of updates, which ``aesara.function`` calls ``updates=``. The two differ in what they do with the graph:
#
# - ``compile_function(..., engine="jax")`` is this package's. It translates the graph for JAX, whose compiler, XLA,
#   makes machine code for the processor or for a GPU. It compiles a network like ours in one to three seconds and
#   needs no C++ compiler. We add ``device="cpu"``, because a GPU computes products of 32-bit matrices with fewer
#   digits, and we want to compare digits.
# - ``aesara.function`` is Aesara's own. It writes C++ and calls ``g++``, which takes about a minute for a recurrent
#   network the first time; or it runs the graph in Python, one operation at a time, which is slow. Use it if you want
#   Aesara's own tools, such as its debugging modes. (Its mode ``JAX`` cannot run the derivative of a loop.) Where JAX
#   is not installed, ``compile_function(..., engine="c")`` calls ``g++`` too, with fewer and faster modules.
#
# The same network as a graph
# ---------------------------
#
# Here is the whole network again. Compare it with the NumPy code, line by line. The parameters are *shared variables*:
# they keep their values between calls, and a function can update them.


def share(values):
    """Returns a shared variable for each parameter."""
    return {name: aesara.shared(value, name=name) for name, value in values.items()}


def log_probabilities(params, tokens, activation=T.tanh):
    """Returns the symbol of ln P of every token of the vocabulary at every step: (time, batch, vocab)."""
    x = params["embedding"][tokens]  # (time, batch, embedding)
    projected = T.dot(x, params["W_xh"]) + params["b_h"]  # (time, batch, hidden)
    h_0 = T.zeros((tokens.shape[1], HIDDEN_SIZE), "float32")

    def step(projected_t, h_tm1, W_hh):
        return activation(projected_t + T.dot(h_tm1, W_hh))  # (batch, hidden)

    h, _ = aesara.scan(
        step,
        sequences=[projected],
        outputs_info=[h_0],
        non_sequences=[params["W_hh"]],
        strict=True,
    )  # (time, batch, hidden)
    scores = T.dot(h, params["W_hy"]) + params["b_y"]  # (time, batch, vocab)
    return T.special.log_softmax(scores, axis=-1)


def mean_loss(log_p, targets, mask):
    """Returns the symbol of the mean of -ln P(target) over all real targets, in nats per token."""
    time, batch = T.arange(targets.shape[0]), T.arange(targets.shape[1])
    losses = -log_p[time[:, None], batch[None, :], targets]  # (time, batch)
    return (losses * mask).sum() / mask.sum()


# %%
# ``aesara.scan`` is the loop. It calls ``step`` only once, with symbols, to learn what one time step computes. The
# arguments of ``step`` always come in the same order:
#
# 1. one element of each of the ``sequences``: here ``projected[t]``;
# 2. the previous result for each of the ``outputs_info``: here :math:`h_{t-1}`. At the first step, this is the value
#    given in ``outputs_info``, here ``h_0``;
# 3. the ``non_sequences``, which are the same at each step: here ``W_hh``. With ``strict=True``, ``scan`` refuses a
#    step that uses a shared variable which is not listed, so none is forgotten.
#
# The second result of ``scan`` is the updates of shared variables that ``step`` itself returned, such as the state of a
# random generator. They would have to be handed to the compiler; there are none here. In many old examples ``scan`` has
# an argument ``truncate_gradient``. We do not use it; part 3 explains what is wrong with it.
#
# The derivatives take one line: ``T.grad`` returns a symbol for each parameter. For a loop it builds a second loop,
# which runs from the last step to the first. This is *backpropagation through time*. Training moves each parameter a
# little against its derivative, which is called *stochastic gradient descent*. In Aesara, an update is a pair: a shared
# variable and the symbol of its new value. A call computes all new values from the old ones, and then stores them:
#
# .. math::
#
#    p \leftarrow p - \mathrm{rate} \cdot \frac{\partial\, \mathrm{loss}}{\partial p}


def compile_network(params, activation=T.tanh):
    """Returns the functions `train`, `predict` and `loss` of the network, compiled."""
    tokens, targets, mask = T.imatrix("tokens"), T.imatrix("targets"), T.fmatrix("mask")  # (time, batch)
    learning_rate = T.fscalar("learning_rate")

    log_p = log_probabilities(params, tokens, activation)
    loss = mean_loss(log_p, targets, mask)
    with aesara.config.change_flags(floatX="float32"):  # if T.grad must add zeros, they have this type
        gradients = T.grad(loss, list(params.values()))
    updates = [(p, p - learning_rate * gradient) for p, gradient in zip(params.values(), gradients)]

    train = compile_function([tokens, targets, mask, learning_rate], [loss], updates, engine="jax", device="cpu")
    predict = compile_function([tokens], [log_p], engine="jax", device="cpu")
    loss_function = compile_function([tokens, targets, mask], [loss], engine="jax", device="cpu")
    return train, predict, loss_function


params = share(values)
train, predict, loss = compile_network(params)

# %%
# ``train(tokens, targets, mask, learning_rate)`` returns the loss of a batch and then changes the parameters.
# ``predict(tokens)`` returns the log-probabilities, and ``loss(tokens, targets, mask)`` the loss without any change.
# Each returns a list of results, because its outputs were a list. The types of the arguments are fixed: ``T.imatrix``
# is a matrix of 32-bit integers, ``T.fmatrix`` one of 32-bit floating-point numbers, and ``T.fscalar`` a single such
# number.
#
# Does it compute the right thing?
# --------------------------------
#
# That a network learns is no proof that it is right. Many wrong networks learn, only not as well. We have a second
# implementation, so we compare:

(loss_in_graph,) = loss(*validation_batch)
(log_p_in_graph,) = predict(validation_batch[0])
difference = np.abs(log_p_in_graph - numpy_log_probabilities(values, validation_batch[0])).max()
print(f"loss: {loss_in_numpy:.6f} in NumPy, {float(loss_in_graph):.6f} in the graph")
print(f"largest difference of any log-probability: {difference:.1e}")
assert abs(loss_in_graph - loss_in_numpy) < 1e-5
assert difference < 1e-5

# %%
# ``aesara.function`` gives the same number. To save the time of ``g++``, we let it run the graph in Python: ``cxx=""``
# switches the C++ compiler off, and the mode ``FAST_COMPILE`` leaves out most optimizations. It gets its own copy of
# the parameters: a shared variable that a function for JAX updates must not be used by ``aesara.function``, because its
# value is then an array of JAX, perhaps in the memory of a GPU.

tokens, targets, mask = T.imatrix("tokens"), T.imatrix("targets"), T.fmatrix("mask")
symbolic_loss = mean_loss(log_probabilities(share(values), tokens), targets, mask)
with aesara.config.change_flags(cxx=""):
    loss_in_python = aesara.function([tokens, targets, mask], [symbolic_loss], mode="FAST_COMPILE")
    (loss_by_aesara,) = loss_in_python(*validation_batch)
print(f"loss: {float(loss_by_aesara):.6f} by aesara.function")
assert abs(loss_by_aesara - loss_in_graph) < 1e-5

# %%
# The derivatives can be checked without knowing how they are made. Move one parameter by a small amount up and down,
# and see how the loss changes. This is the *central difference*:
#
# .. math::
#
#    \frac{\partial\, \mathrm{loss}}{\partial p} \approx
#    \frac{\mathrm{loss}(p + \varepsilon) - \mathrm{loss}(p - \varepsilon)}{2 \varepsilon}
#
# We test the recurrent weight with the largest derivative. The NumPy network computes the two losses with 64-bit
# numbers: they are almost equal, and 32-bit numbers have too few digits for their difference. The symbolic derivative
# comes from one call of ``train``. With the learning rate 1, the parameter becomes its old value minus the derivative,
# so the old value minus the new one is the derivative.

batch = make_batch(training_sentences[:16])
train(*batch, np.float32(1))
gradient = values["W_hh"] - params["W_hh"].get_value()
row, column = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)

exact_values = {name: value.astype("float64") for name, value in values.items()}
epsilon, sides = 1e-5, []
for change in (epsilon, -epsilon):
    moved = exact_values["W_hh"].copy()
    moved[row, column] += change
    sides.append(numpy_loss({**exact_values, "W_hh": moved}, *batch))
central_difference = (sides[0] - sides[1]) / (2 * epsilon)
print(f"derivative by W_hh[{row}, {column}]: {gradient[row, column]:.6f}, central difference: {central_difference:.6f}")
assert abs(gradient[row, column] - central_difference) < 0.01 * abs(central_difference)

# %%
# Training
# --------
#
# An *epoch* is one pass over all training sentences, in a new random order. After each epoch we compute the loss on
# the validation sentences.

import matplotlib.pyplot as plt

plt.rcParams["font.size"] = 13


def train_epochs(train, loss, sentences, num_epochs, learning_rate, batch_size=16, seed=1):
    """Returns the training and the validation loss of each epoch, in nats per token."""
    rng = np.random.default_rng(seed)
    records = []
    for _ in range(num_epochs):
        order = rng.permutation(len(sentences))
        total, num_targets = 0.0, 0.0
        for start in range(0, len(order) - batch_size + 1, batch_size):  # the last few sentences are left out
            batch = make_batch([sentences[i] for i in order[start : start + batch_size]])
            (batch_loss,) = train(*batch, np.float32(learning_rate))
            num_real = batch[2].sum()
            total, num_targets = total + float(batch_loss) * num_real, num_targets + num_real
        (validation_loss,) = loss(*validation_batch)
        records.append((total / num_targets, float(validation_loss)))
    return np.array(records)


for name, value in values.items():
    params[name].set_value(value)  # undo the update of the check above
records = train_epochs(train, loss, training_sentences, num_epochs=8, learning_rate=0.5)
training_losses, validation_losses = records.T

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
epochs = np.arange(1, len(records) + 1)
ax.plot(epochs, training_losses, "o-", color="black", label="training (mean over the epoch)")
ax.plot(epochs, validation_losses, "s--", color="tab:red", label="validation (after the epoch)")
ax.set_xlabel("epoch")
ax.set_ylabel("loss (nats per token)")
ax.legend()
plt.show()

perplexity = np.exp(validation_losses[-1])
print(f"after {len(records)} epochs: training {training_losses[-1]:.2f}, validation {validation_losses[-1]:.2f} nats")
print(f"validation perplexity {perplexity:.0f}")
assert validation_losses[0] < training_losses[0]
assert training_losses[-1] < validation_losses[-1] < validation_losses[0]
assert 33 < perplexity < 42

# %%
# In the first epochs the validation loss is the lower one. The reason is that the training loss is a mean over the
# whole epoch, and the network was worse when the epoch began. Later the network predicts the training text better than
# other text, as in part 1.
#
# The perplexity is about 37: the network is as uncertain as a fair choice among 37 tokens. Before training it was a
# choice among 1,000. Is this good? Compare it with the model of part 1 that only counts pairs of neighbours. We try
# several strengths of smoothing :math:`k` and take the one that is best on the validation text. This choice favours the
# counting model, because the network had no such choice:

counts = np.zeros((vocab_size + 2, vocab_size))
for sentence in training_sentences:
    tokens, targets, mask = make_batch([sentence])
    np.add.at(counts, (tokens[mask > 0], targets[mask > 0]), 1)


def bigram_perplexity(k):
    tokens, targets, mask = validation_batch
    smoothed = (counts + k) / (counts + k).sum(axis=1, keepdims=True)
    return np.exp(-np.log(smoothed[tokens, targets][mask > 0]).mean())


lowest_bigram_perplexity = min(bigram_perplexity(k) for k in (0.3, 0.1, 0.03, 0.01, 0.003))
print(f"perplexity of the bigrams: {lowest_bigram_perplexity:.0f}, of the network: {perplexity:.0f}")
assert perplexity < 0.8 * lowest_bigram_perplexity

# %%
# Both perplexities are low for another reason too: the vocabulary is small, and all rare words count as the same token
# ``<unk>``, which is easy to guess. Compare perplexities only if text and vocabulary are the same.
#
# The network writes
# ------------------
#
# We let it write ten sentences at once, one token after another. ``predict`` gives the probabilities of the next token
# at each step; we use those of the last token that has been written. What comes behind it is padding, which has no
# influence on earlier steps. (To compute all steps again for each new token is simple, but wasteful. The package keeps
# the state instead, and computes one step.) The network may not write ``<unk>``. The *temperature* divides the
# log-probabilities: below 1, likely tokens become still more likely.


def write_sentences(predict, num_sentences=10, temperature=0.7, seed=1):
    """Returns sentences drawn from the network, as text."""
    rng = np.random.default_rng(seed)
    tokens = np.full((MAX_LENGTH + 1, num_sentences), vocabulary.pad_id, "int32")
    tokens[0] = vocabulary.bos_id
    for t in range(MAX_LENGTH):
        (log_p,) = predict(tokens[:MAX_LENGTH])  # (time, batch, vocab), a JAX array, which cannot be changed
        scores = np.array(log_p[t], "float64") / temperature  # (batch, vocab)
        scores[:, vocabulary.unk_id] = -np.inf
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        tokens[t + 1] = [rng.choice(vocab_size, p=row) for row in p]
    texts = []
    for column in tokens[1:].T:
        ends = np.flatnonzero(column == vocabulary.eos_id)
        length = ends[0] if len(ends) else MAX_LENGTH
        texts.append(detokenize(vocabulary.decode(column[:length]), text_config))
    return texts


sentences = write_sentences(predict)
print(*sentences, sep="\n")
assert len(set(sentences)) > 5

# %%
# The network has read about 41,000 tokens, eight times. It has learned how sentences begin and end, which words go
# together, and some grammar. It knows nothing of what the sentences mean.
#
# The same network from the package's parts
# -----------------------------------------
#
# The package has each part of our network, tested, and more general:
#
# - A *cell* is one time step, like our function ``step``: here ``RNNCell``. To use an LSTM or a GRU, change one word.
# - ``unroll`` repeats a cell over time. It contains the only ``aesara.scan`` of the package. It also takes a mask: at
#   padding, a state stays as it is. Our network did without, because it only used the states at real steps. With the
#   mask, the final state is that of the last real step too, and the next batch can start from it.
# - ``Layers`` is a stack of cells: each layer reads what the layer below has computed.
# - ``RNNLM`` adds the embedding, the output layer and the compiled functions.
#
# If these are the same network, then with our weights they must give our loss.

from theano_rnn.model import RNNLM
from theano_rnn.nn.layers import Layers
from theano_rnn.nn.unrolling import unroll
from theano_rnn.settings.network import ModelConfig

rng = np.random.default_rng(1)
layers = Layers("tanh", EMBEDDING_SIZE, HIDDEN_SIZE, num_layers=1, rng=rng, dtype="float32")
print("parameters of the layers:", ", ".join(layers.params))
for name, parameter in layers.params.items():
    parameter.set_value(params[name.removeprefix("layer0.")].get_value())

tokens, targets, mask = T.imatrix("tokens"), T.imatrix("targets"), T.fmatrix("mask")
state = [T.zeros((tokens.shape[1], HIDDEN_SIZE), "float32")]
projected = layers.project_over_time(params["embedding"][tokens])  # (time, batch, hidden)
(cell,) = layers.cells
(h_of_unroll,), _ = unroll(cell, projected, mask, state, params=cell.params)  # (time, batch, hidden)
(h_of_layers,), _ = layers.run(projected, mask, state)

losses = []
for h in (h_of_unroll, h_of_layers):
    log_p = T.special.log_softmax(T.dot(h, params["W_hy"]) + params["b_y"], axis=-1)
    losses.append(mean_loss(log_p, targets, mask))
losses_of_parts = compile_function([tokens, targets, mask], losses, engine="jax", device="cpu")(*validation_batch)

# %%
# ``RNNLM`` gets its sizes from a ``ModelConfig``. Its compiled ``loss`` returns the loss at each step, (time, batch),
# and the final state, which could be carried on to the next batch.

config = ModelConfig(
    cell="tanh",
    embedding_size=EMBEDDING_SIZE,
    hidden_size=HIDDEN_SIZE,
    vocab_size=vocab_size,
    tie_weights=False,
)
model = RNNLM(config, rng=rng)
for name, parameter in model.params.items():
    parameter.set_value(params[name.removeprefix("layer0.")].get_value())
functions = model.compile("loss", engine="jax", device="cpu")
step_losses, _ = functions.loss(*validation_batch, *model.initial_state(len(validation_sentences)))
loss_of_model = step_losses.sum() / validation_batch[2].sum()

print(f"our graph {validation_losses[-1]:.6f}")
print(f"unroll    {float(losses_of_parts[0]):.6f}")
print(f"Layers    {float(losses_of_parts[1]):.6f}")
print(f"RNNLM     {float(loss_of_model):.6f}")
for other in (*losses_of_parts, loss_of_model):
    assert abs(float(other) - validation_losses[-1]) < 1e-4

# %%
# All of them agree. The package adds to our hundred lines: the embedding can also serve as output matrix (*tied
# weights*), *dropout* against overfitting, an *adaptive softmax* for large vocabularies, better optimizers than plain
# gradient descent, text as one long stream whose state is carried on, and *checkpoints*, from which training goes on
# after an interruption. Part 4, ``part_4_lstm_and_gru.py``, shows them.
#
# In a single line
# ----------------
#
# To train a model on your own text, you need none of the code above. In Python::
#
#     from theano_rnn import LanguageModel
#
#     model = LanguageModel.train("mybook.txt", checkpoint="runs/mybook.safetensors")
#     print(model.generate("She was", num_samples=3))
#
# On the command line::
#
#     python scripts/train.py --train mybook.txt --checkpoint runs/mybook.safetensors
#     python scripts/generate.py runs/mybook.safetensors --prompt "She was"
#
# For one novel, this takes three to five minutes. The package then chooses an LSTM, which remembers longer than our
# cell. Part 3, ``part_3_backpropagation_through_time.py``, shows why our cell forgets, and part 4 what an LSTM does
# about it.
#
# Exercises
# ---------
#
# 1. *Another activation.* Replace :math:`\tanh` by :math:`\mathrm{relu}(z) = \max(z, 0)`. Does the first loss change?
#    Train for two epochs. Which learning rate works?
# 2. *Temperature.* Write sentences with the temperatures 0.1 and 1.5. What changes, and why?
# 3. *A longer window.* Let the network read two sentences in a row, 40 steps, instead of each sentence by itself.
#    Which lines have to change? What should happen to the loss of an untrained network, and to that of the trained one?
#    (You need not train again.)
# 4. *Why is the softmax outside of the loop?* Compute it inside ``step``, and check that the loss is the same. Then
#    say what it costs.
# 5. *Padding must not matter.* Show that the loss does not change if the padding is filled with any other ids.

# %%
# **Solution 1.** The same parameters, another function. At the beginning the output matrix is small, so the first loss
# is near :math:`\ln 1000` with any activation. But ReLU has no upper bound: states can grow from step to step, and the
# gradients with them. With the rate 0.5 that we used for :math:`\tanh`, the loss became *nan* (not a number) when we
# tried. The rate 0.2 works. Part 3 says more about gradients that explode.

relu_params = share(initial_values())
relu_train, _, relu_loss = compile_network(relu_params, activation=lambda z: T.maximum(z, 0))
(first_loss,) = relu_loss(*validation_batch)
relu_records = train_epochs(relu_train, relu_loss, training_sentences, num_epochs=2, learning_rate=0.2)
print(f"relu: first loss {float(first_loss):.2f}, after two epochs {relu_records[-1, 1]:.2f} nats")
print(f"tanh, with the rate 0.5: after two epochs {validation_losses[1]:.2f} nats")
assert abs(first_loss - np.log(vocab_size)) < 0.1
assert relu_records[-1, 1] < 4.6

# %%
# **Solution 2.** Near 0, the network nearly always writes the most likely token, so its sentences resemble one
# another. Above 1, unlikely tokens come more often, and sentences fall apart.

cold, hot = write_sentences(predict, temperature=0.1), write_sentences(predict, temperature=1.5)
print("0.1:", *cold[:3], sep="\n   ")
print("1.5:", *hot[:3], sep="\n   ")
num_words = [len({word for sentence in some for word in sentence.split()}) for some in (cold, hot)]
print("different words in ten sentences:", *num_words)
assert num_words[0] < num_words[1]

# %%
# **Solution 3.** Only the data change: of the short sentences, each is joined with the next one, and ``MAX_LENGTH`` is
# 40 when ``make_batch`` is called. (It must still be 20 when the sentences are chosen.) The network and the compiled
# functions take any number of steps, because the graph says nothing about it. XLA compiles once more for the new shape.
# The loss of an untrained network is still :math:`\ln 1000`: it is a mean per token. The network that was trained on
# single sentences does worse, because it has never read ``</s>``, only predicted it: the first word of the second
# sentence surprises it.

MAX_LENGTH = 40
pairs = [np.concatenate(two) for two in zip(validation_sentences[::2], validation_sentences[1::2])]
pair_batch = make_batch(pairs)
first_loss_of_pairs = numpy_loss(values, *pair_batch)
(loss_of_pairs,) = loss(*pair_batch)
print(f"pairs: untrained {first_loss_of_pairs:.2f}, trained on single sentences {float(loss_of_pairs):.2f} nats")
assert abs(first_loss_of_pairs - np.log(vocab_size)) < 0.1
assert loss_of_pairs > validation_losses[-1]
MAX_LENGTH = 20

# %%
# **Solution 4.** The result is the same. But inside of the loop, the product with ``W_hy`` and the softmax are
# computed in 20 small pieces, one for each time step, and the loop of the derivative repeats them. When we measured
# it several times on a busy machine, a call of ``train`` with the softmax inside took between a fifth and a half more
# time. The larger the vocabulary, the more such details matter.
#
# There is a related question: why ``log_softmax``, and not the logarithm of a softmax? If a probability is too small
# for 32 bits, it becomes 0, and its logarithm is minus infinity. The last two lines show this.

tokens, targets, mask = T.imatrix("tokens"), T.imatrix("targets"), T.fmatrix("mask")
projected = T.dot(params["embedding"][tokens], params["W_xh"]) + params["b_h"]


def step_with_softmax(projected_t, h_tm1, W_hh, W_hy, b_y):
    h_t = T.tanh(projected_t + T.dot(h_tm1, W_hh))
    return h_t, T.special.log_softmax(T.dot(h_t, W_hy) + b_y, axis=-1)


(_, log_p), _ = aesara.scan(
    step_with_softmax,
    sequences=[projected],
    outputs_info=[T.zeros((tokens.shape[1], HIDDEN_SIZE), "float32"), None],  # None: not needed at the next step
    non_sequences=[params["W_hh"], params["W_hy"], params["b_y"]],
    strict=True,
)
symbolic_loss = mean_loss(log_p, targets, mask)
loss_with_softmax_inside = compile_function([tokens, targets, mask], [symbolic_loss], engine="jax", device="cpu")
(loss_inside,) = loss_with_softmax_inside(*validation_batch)
print(f"softmax inside: {float(loss_inside):.6f}, outside: {validation_losses[-1]:.6f}")
assert abs(loss_inside - validation_losses[-1]) < 1e-4

scores = np.array([0, 200], "float32")
with np.errstate(divide="ignore"):
    print("log of softmax:", np.log(np.exp(scores - 200) / np.exp(scores - 200).sum()))
print("log-softmax:   ", scores - 200 - np.log(np.exp(scores - 200).sum()))

# %%
# **Solution 5.** The state at a step depends only on earlier steps, and padding comes last. At the padded steps
# themselves the mask multiplies the loss by 0.

tokens, targets, mask = validation_batch
random_ids = np.random.default_rng(2).integers(0, vocab_size, tokens.shape, dtype="int32")
other_tokens, other_targets = np.where(mask > 0, tokens, random_ids), np.where(mask > 0, targets, random_ids)
(same_loss,) = loss(other_tokens, other_targets, mask)
print(f"{float(same_loss):.6f} with other padding, {validation_losses[-1]:.6f} before")
assert abs(same_loss - validation_losses[-1]) < 1e-5
