r"""
Part 1: Recurrent networks
==========================

A recurrent neural network reads a sequence, such as a sentence, one element after another. What it has read so far, it
keeps in a vector of numbers, its *hidden state*. This part explains the idea with a network that is small enough to
calculate by hand. Then it measures how well a model predicts text: with pencil and paper, on ten short sentences, and
with a recurrent network that learns the same sentences.

You need to know Python and NumPy, what a matrix product is, and what a probability is. The script takes less than a
minute. All random numbers have fixed seeds, so it prints nearly the same numbers wherever it runs.
"""

# %%
# The order of a sequence matters
# -------------------------------
#
# Many things come in an order: the words of a sentence, the letters of a word, the notes of a melody. These two
# sentences have the same words, but they do not mean the same:

from collections import Counter

import matplotlib.pyplot as plt
import numpy as np

plt.rcParams["font.size"] = 13

first = "the dog sees the cat".split()
second = "the cat sees the dog".split()

print(sorted(first))
print(sorted(second))
assert Counter(first) == Counter(second)  # the same words, each as often
assert first != second  # in another order

# %%
# A network that is told only which words occur, and how often, cannot tell these sentences apart. An ordinary
# *feed-forward* network, which computes its output from its input in one pass, has a second problem: the size of its
# input is fixed, but sentences differ in length.
#
# A recurrent network solves both problems. It reads one word at a time, and it uses the same weights for each word. So
# a sentence may have any length. Between two words, the network keeps a hidden state. It is the network's memory: the
# only way in which earlier words can influence what it says about later ones.
#
# The recurrence
# --------------
#
# Let :math:`x_t` be the input at time step :math:`t`: a vector that stands for one word. The network computes a hidden
# state :math:`s_t` from this input and from the previous state, and an output :math:`o_t` from the state:
#
# .. math::
#
#    s_t = f(U x_t + W s_{t-1})
#
# .. math::
#
#    o_t = \mathrm{softmax}(V s_t)
#
# :math:`U`, :math:`W` and :math:`V` are matrices, the weights of the network. They are the same at each time step. The
# function :math:`f` is applied to each element of a vector; it is usually the hyperbolic tangent, :math:`\tanh`, or
# :math:`\mathrm{relu}(z) = \max(z, 0)`. The first state has no predecessor; :math:`s_0` is a vector of zeros. The
# softmax turns any vector :math:`z` into probabilities, which are positive and sum to 1:
#
# .. math::
#
#    \mathrm{softmax}(z)_i = \frac{e^{z_i}}{\sum_j e^{z_j}}
#
# These letters are from a well-known series of articles on recurrent networks (Denny Britz, *Recurrent Neural Networks
# Tutorial*, WildML 2015). This project has longer names for the same things, which also say what a matrix connects:
# ``x`` is the input, ``h`` the hidden state, ``y`` the output. So ``W_xh`` leads from the input to the hidden state.
#
# ===============  ============  ======================================================
# WildML           this project  what it is
# ===============  ============  ======================================================
# :math:`x_t`      ``x_t``       the input at time step t
# :math:`s_t`      ``h_t``       the hidden state
# :math:`o_t`      ``o_t``       the output: a probability for each possible answer
# :math:`U`        ``W_xh``      weights from the input to the hidden state
# :math:`W`        ``W_hh``      weights from the previous hidden state to the next
# :math:`V`        ``W_hy``      weights from the hidden state to the output
# none             ``b_h``       the bias of the hidden state: a constant that is added
# none             ``b_y``       the bias of the output
# ===============  ============  ======================================================
#
# There is one more difference. Our vectors are *rows*, and a row stands to the left of its matrix. The products are
# written in the opposite order, and the matrices are transposed; nothing else changes:
#
# .. math::
#
#    h_t = f(x_t W_{xh} + h_{t-1} W_{hh} + b_h)
#
# .. math::
#
#    o_t = \mathrm{softmax}(h_t W_{hy} + b_y)
#
# Rows have an advantage. If we write the inputs of several sentences below one another, as the rows of a matrix, the
# same formulas compute all of these sentences at once. Such a group of sentences is called a *batch*.
#
# The network, unrolled in time
# -----------------------------
#
# The hidden state leads back into the network. That is the loop on the left of the next figure. On the right, the loop
# is *unrolled*: each time step gets its own copy of the network, and arrows lead from left to right only. All copies
# share the same three matrices. The unrolled network is an ordinary deep network, one layer for each time step.
# Therefore it can be trained like one; part 3 of this tutorial shows how.


def draw_step(ax, x, subscript):
    """Draw the input, the hidden state and the output of one time step, one above the other."""
    for y, letter, color in ((0, "x", "white"), (1, "h", "0.85"), (2, "o", "white")):
        circle = {"boxstyle": "circle,pad=0.3", "facecolor": color, "edgecolor": "black"}
        ax.text(x, y, f"${letter}_{{{subscript}}}$", ha="center", va="center", fontsize=16, bbox=circle)
    for y, weights in ((0, "$W_{xh}$"), (1, "$W_{hy}$")):
        ax.annotate("", (x, y + 0.75), (x, y + 0.25), arrowprops={"arrowstyle": "->"})
        ax.text(x + 0.08, y + 0.5, weights, ha="left", va="center", fontsize=14)


fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
draw_step(ax, 0, "t")
loop = {"arrowstyle": "->", "connectionstyle": "arc,angleA=150,angleB=210,armA=35,armB=35,rad=15"}
ax.annotate("", (-0.22, 0.9), (-0.22, 1.1), arrowprops=loop)
ax.text(-0.75, 1, "$W_{hh}$", ha="right", va="center", fontsize=14)
ax.text(0.85, 1, "=", ha="center", va="center", fontsize=22)
ax.text(1.5, 1, "$h_0$", ha="center", va="center", fontsize=16)
for position, subscript in ((2.7, "1"), (3.9, "2"), (5.1, "3")):
    ax.annotate("", (position - 0.28, 1), (position - 0.92, 1), arrowprops={"arrowstyle": "->"})
    ax.text(position - 0.62, 1.08, "$W_{hh}$", ha="center", va="bottom", fontsize=14)
    draw_step(ax, position, subscript)
ax.annotate("", (6.0, 1), (5.38, 1), arrowprops={"arrowstyle": "->"})
ax.text(6.2, 1, "...", ha="center", va="center", fontsize=22)
ax.set_xlim(-1.4, 6.4)
ax.set_ylim(-0.3, 2.3)
ax.axis("off")
plt.show()

# %%
# A network with memory, by hand
# ------------------------------
#
# The next network solves a task for which memory is necessary. It reads zeros and ones. At each time step it says
# whether the number of ones up to now is odd. This is called the *parity* of the sequence.
#
# A network that sees only the current symbol cannot do this: the same 1 must be answered with *odd* at one time and
# with *even* at another. A recurrent network needs to remember a single fact, the parity :math:`p_{t-1}` before the
# current symbol. The new parity is the difference of the two, without its sign:
#
# .. math::
#
#    p_t = |x_t - p_{t-1}| = \max(x_t - p_{t-1}, 0) + \max(p_{t-1} - x_t, 0)
#
# The right-hand side has the form of our recurrence, with two hidden units, :math:`f = \mathrm{relu}`, and no biases.
# The first unit is 1 if the parity changes from 0 to 1. The second unit is 1 if the parity is 1 and stays so. Their
# sum is the parity. Only this sum counts for the next step, so the two rows of ``W_hh`` are equal. The output has a
# score for *even* and one for *odd*: 5 and -5 if the parity is 0, -5 and 5 if it is 1. So we can write the weights
# down, and no training is needed:

W_xh = np.array([[1.0, -1.0]])  # (input, hidden)
W_hh = np.array([[-1.0, 1.0], [-1.0, 1.0]])  # (hidden, hidden)
W_hy = np.array([[-10.0, 10.0], [-10.0, 10.0]])  # (hidden, output): the outputs are "even" and "odd"
b_y = np.array([5.0, -5.0])  # (output,)


def relu(z):
    return np.maximum(z, 0)


def softmax(z):
    powers = np.exp(z - z.max())  # subtracting the maximum does not change the result and prevents an overflow
    return powers / powers.sum()


def parity_network(symbols):
    """Returns the hidden state and the output at every time step: (time, hidden), (time, output)."""
    h_t = np.zeros(2)
    states, outputs = [], []
    for symbol in symbols:
        x_t = np.array([float(symbol)])  # (input,)
        h_t = relu(x_t @ W_xh + h_t @ W_hh)  # (hidden,)
        states.append(h_t)
        outputs.append(softmax(h_t @ W_hy + b_y))  # (output,)
    return np.array(states), np.array(outputs)


symbols = [1, 0, 1, 1, 0, 0, 1]
states, outputs = parity_network(symbols)
print("t   x_t   h_t      P(odd)   ones so far")
for t, (symbol, h_t, o_t) in enumerate(zip(symbols, states, outputs), start=1):
    print(f"{t}   {symbol}     {h_t.astype(int)}    {o_t[1]:.4f}   {sum(symbols[:t])}")

is_odd = outputs[:, 1] > 0.5
assert is_odd.tolist() == [np.sum(symbols[:t]) % 2 == 1 for t in range(1, 8)]
assert symbols[0] == symbols[2]  # the same input,
assert is_odd[0] != is_odd[2]  # and two different answers

# %%
# Nothing in these weights depends on the length of the sequence. So the network works for a sequence of any length:

bits = np.random.default_rng(1).integers(0, 2, size=10_000)
_, outputs = parity_network(bits)
answers = outputs[:, 1] > 0.5
assert np.array_equal(answers, np.cumsum(bits) % 2 == 1)
print(f"{len(bits):,} symbols, {np.sum(answers != (np.cumsum(bits) % 2 == 1))} wrong answers")

# %%
# What recurrent networks are used for
# ------------------------------------
#
# Weights are rarely written by hand. They are learned from examples. The same recurrence serves many tasks. The tasks
# differ in where inputs come from and which outputs are used:
#
# ========================  ========================  =======================================  ================
# task                      input                     output                                   in this package
# ========================  ========================  =======================================  ================
# language model            the words so far          at each step: the next word              yes
# fill in a missing word    the words on both sides   at each position: the word there         yes
# sentiment                 a review                  one, at the end: is it positive?         not yet
# translation               a sentence                many, when all is read: its translation  not yet
# speech recognition        a recording, in slices    many: the text that was spoken           not yet
# description of an image   one image                 many: a sentence about it                not yet
# ========================  ========================  =======================================  ================
#
# *One output at the end* means that only the last hidden state is used, because it depends on the whole sequence.
# *Many outputs* means that the network writes a text of its own: it writes a word, reads this word as its next input,
# and so on until it writes a mark for the end. Today the package has the first two tasks: a language model, which
# scores and writes text, and a model that fills in missing words. This tutorial is about the language model; you will
# see both at work below.
#
# Ten sentences
# -------------
#
# A *language model* gives a probability to each sentence. It does so word by word. A sentence
# :math:`w_1 w_2 \ldots w_n` gets the probability of its first word, times the probability of the second word after the
# first, and so on:
#
# .. math::
#
#    P(w_1 \ldots w_n) = \prod_{t=1}^{n} P(w_t \mid w_1 \ldots w_{t-1})
#
# What makes a language model good? It gives a high probability to the sentences that people write. Let us measure
# this. Here is a language with ten sentences, and three more that we keep for later:

training_text = """
the cat in the garden is asleep
the cats in the garden are asleep
the dog in the garden is hungry
the dogs in the garden are hungry
the cat in the house is hungry
the dogs in the house are asleep
the cat sees the dog
the dogs see the cats
the dog sees the cats
the cats see the dog
"""
validation_text = """
the cats in the house are hungry
the dog in the house is asleep
the dog sees the cat
"""
training_sentences = [line.split() for line in training_text.strip().splitlines()]
validation_sentences = [line.split() for line in validation_text.strip().splitlines()]
words = sorted({word for sentence in training_sentences for word in sentence})
print(len(words), "words:", " ".join(words))
assert len(words) == 14

# %%
# Two special tokens are added to these 14 words. (A *token* is one element of the sequence that a model reads and
# predicts: a word or a special mark.) ``</s>`` ends each sentence, and ``<unk>`` stands for each word that is not in
# the list. So the *vocabulary* has 16 tokens.
#
# Why does ``</s>`` count as a token? A model must also predict where a sentence ends. Without ``</s>`` it would give
# the probabilities of *beginnings* of sentences: "the dog" and "the dog sees the cats" would not exclude each other,
# and the probabilities of all sentences would sum to more than 1. With ``</s>`` they sum to 1, so two models can be
# compared.
#
# Bigrams: a model by counting
# ----------------------------
#
# The simplest model that knows something of order looks back by one token only. It counts *bigrams*, pairs of
# neighbours:
#
# .. math::
#
#    P(b \mid a) = \frac{\mathrm{count}(a\, b)}{\mathrm{count}(a)}
#
# The first word also needs a left neighbour; we take ``<s>`` for the start of a sentence. It is read, but never
# predicted.


def pairs_of(sentence):
    """Returns the bigrams of a sentence, with its start and its end."""
    tokens = ["<s>", *sentence, "</s>"]
    return list(zip(tokens, tokens[1:]))


pair_counts = Counter(pair for sentence in training_sentences for pair in pairs_of(sentence))
left_counts = Counter()
for (left, _), count in pair_counts.items():
    left_counts[left] += count

print(f"'the' occurs {left_counts['the']} times, and then comes:")
for (left, right), count in sorted(pair_counts.items()):
    if left == "the":
        print(f"   {right:7} {count} of {left_counts['the']}")
assert left_counts["the"] == 20
assert pair_counts["the", "cats"] == 4

# %%
# Now take the sentence "the cats see the dog". Look the six fractions up in the ten sentences, with a pencil if you
# like:
#
# .. math::
#
#    P = \frac{10}{10} \cdot \frac{4}{20} \cdot \frac{1}{4} \cdot \frac{2}{2} \cdot \frac{4}{20} \cdot \frac{2}{4}
#      = \frac{1}{200}
#
# They are the probabilities of *the* after the start, *cats* after *the*, *see* after *cats*, *the* after *see*, *dog*
# after *the*, and of the end after *dog*.
#
# Products of many probabilities soon become too small for a computer, and they are hard to read. So one takes the
# logarithm, which turns the product into a sum, and changes the sign. The mean over the tokens is the *loss*:
#
# .. math::
#
#    \mathrm{loss} = -\frac{1}{n} \sum_{t=1}^{n} \ln P(w_t \mid w_1 \ldots w_{t-1})
#
# With the natural logarithm, the unit of the loss is the *nat*. Divided by :math:`\ln 2 = 0.693`, it is in *bits*:
# roughly the number of yes-or-no questions that it takes to find the token. And :math:`e^{\mathrm{loss}}` is the
# *perplexity*.


def bigram_probability(left, right):
    return pair_counts[left, right] / left_counts[left]


sentence = "the cats see the dog".split()
probabilities = [bigram_probability(left, right) for left, right in pairs_of(sentence)]
probability = np.prod(probabilities)
loss = -np.mean(np.log(probabilities))
print("probabilities:", probabilities)
print(f"product: {probability:.4f} = 1/{1 / probability:.0f}")
print(f"loss: {loss:.3f} nats = {loss / np.log(2):.3f} bits per token; perplexity: {np.exp(loss):.2f}")
assert np.isclose(probability, 1 / 200)
assert np.isclose(loss, np.log(200) / 6)
assert np.isclose(np.exp(loss), 200 ** (1 / 6))

# %%
# A perplexity of :math:`N` means: on average the model is as uncertain as somebody who must choose fairly among
# :math:`N` tokens. Here :math:`N = 2.42`: a little worse than the throw of a coin for each token.
#
# A model that knows nothing gives each of the 16 tokens the same probability, 1/16. Its loss is :math:`\ln 16 = 2.77`
# nats, or 4 bits, and its perplexity is 16. In general, the loss of knowing nothing is the logarithm of the size of
# the vocabulary. This is where an untrained network should start; you will meet this number again.
#
# Over all ten sentences, the bigram model is much better than that:


def loss_of(probability, sentences):
    """Returns the mean of -ln P over all tokens of the sentences, their ends included, in nats."""
    probabilities = [probability(left, right) for sentence in sentences for left, right in pairs_of(sentence)]
    if min(probabilities) == 0:
        return np.inf  # -ln 0: the model said that this cannot happen
    return -np.mean(np.log(probabilities))


vocab_size = len(words) + 2
num_tokens = sum(len(sentence) + 1 for sentence in training_sentences)
uniform_loss = loss_of(lambda left, right: 1 / vocab_size, training_sentences)
bigram_loss = loss_of(bigram_probability, training_sentences)
print(f"{num_tokens} tokens in ten sentences")
print(f"uniform:  {uniform_loss:.3f} nats, perplexity {np.exp(uniform_loss):5.2f}")
print(f"bigrams:  {bigram_loss:.3f} nats, perplexity {np.exp(bigram_loss):5.2f}")
assert np.isclose(uniform_loss, np.log(16))
assert abs(np.exp(bigram_loss) - 2.159) < 0.001

# %%
# Never judge a model by the text that it was made from
# -----------------------------------------------------
#
# The perplexity 2.16 is too good to be true. The model has seen these ten sentences, with all their answers. What we
# want to know is how well it predicts *other* sentences of the same language. For this we kept three sentences that
# the model has not seen. The kept text is called the *validation* text, the other one the *training* text:

print("training text:  ", f"perplexity {np.exp(bigram_loss):.2f}")
print("validation text:", f"perplexity {np.exp(loss_of(bigram_probability, validation_sentences)):.2f}")
missing = [pair for sentence in validation_sentences for pair in pairs_of(sentence) if pair not in pair_counts]
print("bigrams that the model has never seen:", missing)
assert missing == [("cat", "</s>")]
assert loss_of(bigram_probability, validation_sentences) == np.inf

# %%
# The perplexity is infinite. In the ten sentences *cat* is never the last word. So the model gives the probability 0
# to "the dog sees the cat", and :math:`-\ln 0` is infinite: a single pair was enough. The same happens with each new
# word. To avoid this, some probability must be kept for what has not been seen. This is called *smoothing*. The
# simplest way is to count each possible pair as if it had been seen :math:`k` times more, with a small :math:`k` such
# as 0.1:
#
# .. math::
#
#    P(b \mid a) = \frac{\mathrm{count}(a\, b) + k}{\mathrm{count}(a) + 16 k}
#
# The 16 probabilities after each token still sum to 1. Words outside of the vocabulary count as ``<unk>``. It does not
# occur in the ten sentences, and it also gets a small probability.


def smoothed_probability(left, right, k=0.1):
    left, right = (token if token in [*words, "<s>", "</s>"] else "<unk>" for token in (left, right))
    return (pair_counts[left, right] + k) / (left_counts[left] + vocab_size * k)


smoothed_training_loss = loss_of(smoothed_probability, training_sentences)
smoothed_validation_loss = loss_of(smoothed_probability, validation_sentences)
print(f"training text:   perplexity {np.exp(smoothed_training_loss):.2f}")
print(f"validation text: perplexity {np.exp(smoothed_validation_loss):.2f}")
total = sum(smoothed_probability("cat", token) for token in [*words, "</s>", "<unk>"])
assert np.isclose(total, 1)
assert smoothed_training_loss < smoothed_validation_loss < uniform_loss
assert np.isfinite(loss_of(smoothed_probability, [["the", "bird", "sees", "the", "cat"]]))

# %%
# The validation perplexity, 3.52, is the number to report. It is worse than that of the training text, as it nearly
# always is, and far better than 16.
#
# But a bigram model forgets all but one token. Which word comes after "the cats in the house"? Whoever looks only at
# *house* has to guess: in the ten sentences, it is followed once by *is* and once by *are*. The answer depends on
# *cats*, three words earlier. This calls for memory.

assert bigram_probability("house", "is") == bigram_probability("house", "are") == 0.5

# %%
# The same sentences as numbers
# -----------------------------
#
# A network reads numbers. The package's ``Vocabulary`` gives each token a number, its *id*: 0 is ``<unk>``, 1 is
# ``</s>``, then come the words, the most frequent first. Two more ids follow, for tokens that are only read and never
# predicted: padding, and the start of a sentence.

from theano_rnn.learning.batching import Sentences, sentence_lengths
from theano_rnn.preprocessing import Vocabulary
from theano_rnn.settings.text import TextConfig

text_config = TextConfig(sentences="line", tokens="whitespace")  # one sentence per line; blanks between words
vocabulary = Vocabulary.from_sentences(training_sentences, text=text_config)
assert vocabulary.vocab_size == 16
assert (vocabulary.pad_id, vocabulary.bos_id) == (16, 17)

for number in range(6):
    print(number, vocabulary.id_to_token(number))
print("the cat sees the bird  ->", vocabulary.encode("the cat sees the bird".split()))
assert vocabulary.encode(["bird"]).tolist() == [vocabulary.unk_id]


def ids_of(sentences):
    """Returns the ids of all sentences in one array; each sentence ends with the id of </s>."""
    encoded = [[*vocabulary.encode(sentence), vocabulary.eos_id] for sentence in sentences]
    return np.concatenate(encoded).astype("int32")


def batch_of(sentences):
    """Returns one batch of all sentences."""
    ids = ids_of(sentences)
    batches = Sentences(
        ids,
        batch_size=len(sentences),
        start_id=vocabulary.bos_id,
        pad_id=vocabulary.pad_id,
        lengths=sentence_lengths(ids, vocabulary.eos_id),
    )
    assert len(batches) == 1
    return batches[0]


batch = batch_of([training_sentences[6], training_sentences[0]])
print("tokens, which the network reads:", *batch.tokens.T.tolist(), sep="\n   ")
print("targets, which it predicts:", *batch.targets.T.tolist(), sep="\n   ")
print("mask:", *batch.mask.T.astype(int).tolist(), sep="\n   ")
assert np.array_equal(batch.tokens[1:6, 0], batch.targets[:5, 0])

# %%
# The printed rows are the sentences "the cat sees the dog" and "the cat in the garden is asleep". Compare *tokens* and
# *targets*: each target is the token that comes next. The first sentence is shorter, so it is *padded* with the id 16.
# The *mask* is 1 at real targets and 0 at padding, which is not counted.
#
# A recurrent network for the ten sentences
# -----------------------------------------
#
# ``RNNLM`` is the package's recurrent language model, with the formulas from above. An *embedding* is a matrix with
# one row for each token; :math:`x_t` is the row of the token at time :math:`t`. All weights begin as small random
# numbers. ``train`` reads a batch, computes the loss, and then changes all weights a little, so that the loss falls;
# the rule by which it does so is called *Adam*. ``compile`` turns these formulas into fast code; with
# ``engine="jax"``, the compiler of the library JAX does this, here for the processor of your computer. Part 2 builds
# such a network step by step, and part 3 explains where the changes of the weights come from. Here we only use it.

from theano_rnn.model import RNNLM
from theano_rnn.settings.network import ModelConfig

training_batch, validation_batch = batch_of(training_sentences), batch_of(validation_sentences)
config = ModelConfig(cell="tanh", embedding_size=16, hidden_size=32, tie_weights=False, vocab_size=16)


def train_network(seed, num_updates=300, has_memory=True):
    """Returns a trained network, its functions, and the training and validation losses after each tenth update."""
    model = RNNLM(config, rng=np.random.default_rng(seed))
    functions = model.compile("train", "loss", "step", engine="jax", device="cpu", optimizer="adam")

    def mean_loss(batch):
        losses, *_ = functions.loss(*batch.arrays, *model.initial_state(batch.num_columns))  # (time, batch)
        return float(losses.sum() / batch.num_targets)

    records = []
    for update in range(num_updates + 1):
        if not has_memory:  # used in the last exercise
            model.params["layer0.W_hh"].set_value(np.zeros((32, 32), "float32"))
        if update % 10 == 0:
            records.append((update, mean_loss(training_batch), mean_loss(validation_batch)))
        functions.train(*training_batch.arrays, *model.initial_state(10), np.float32(0.01))
    return model, functions, np.array(records)


model, functions, records = train_network(seed=1)
updates, training_losses, validation_losses = records.T
print(f"before training: {training_losses[0]:.3f} nats, perplexity {np.exp(training_losses[0]):5.2f}")
print(f"after training:  {training_losses[-1]:.3f} nats, perplexity {np.exp(training_losses[-1]):5.2f}")
assert abs(training_losses[0] - np.log(16)) < 0.1
assert np.exp(training_losses[-1]) < 1.5

# %%
# At the start, the network knows nothing: its loss is :math:`\ln 16`. At the end, its perplexity on the ten sentences
# is 1.38. The bigram model has 2.16. Is the network that good? No. It has learned the ten sentences by heart. This is
# almost the best possible result: if you know that one of ten sentences comes, you still do not know which one, and
# this costs :math:`\ln 10` nats per sentence (exercise 3). The three validation sentences show what it is worth:

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(updates, np.exp(training_losses), color="black", label="network, training text")
ax.plot(updates, np.exp(validation_losses), "--", color="tab:red", label="network, validation text")
ax.axhline(np.exp(smoothed_validation_loss), linestyle=":", color="tab:blue", label="bigrams, validation text")
ax.set_yscale("log", base=2)
ax.set_yticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
ax.set_xlabel("updates of the weights")
ax.set_ylabel("perplexity")
ax.legend()
plt.show()

best = validation_losses.argmin()
print(f"lowest validation perplexity: {np.exp(validation_losses[best]):.2f}, after {int(updates[best])} updates")
print(f"validation perplexity after {int(updates[-1])} updates: {np.exp(validation_losses[-1]):.2f}")
assert 0 < best < len(updates) - 1
assert validation_losses[best] < smoothed_validation_loss - 0.1
assert validation_losses[-1] > validation_losses[best] + 0.3

# %%
# On the validation text, the perplexity first falls and then rises again, while it goes on falling on the training
# text. From there on, the network learns the ten sentences instead of the language. This is called *overfitting*. You
# see it only if you have set validation text apart. And you see the remedy: keep the weights that had the lowest
# validation loss. Here they are much better than the bigrams. (The package's command ``train`` keeps these weights for
# you.) The other remedy is more text; ten sentences cannot teach much.
#
# Still, the memory works. "The cats in the house" is not the beginning of any of the ten sentences:


def next_token_probabilities(words):
    """Returns the probability of each token after the start of a sentence: (vocab,)."""
    state = model.initial_state(1)
    for token_id in [vocabulary.bos_id, *vocabulary.encode(words)]:
        log_probabilities, *state = functions.step(np.array([token_id], "int32"), *state)  # (batch, vocab)
    return np.exp(log_probabilities[0])


for beginning in ("the cat in the house", "the cats in the house"):
    p = next_token_probabilities(beginning.split())
    p_is, p_are = p[vocabulary.token_to_id("is")], p[vocabulary.token_to_id("are")]
    print(f"{beginning:21}  P(is) = {p_is:.3f}   P(are) = {p_are:.3f}")
    assert (p_are > 0.8) if "cats" in beginning else (p_is > 0.8)
assert training_sentences.count("the cats in the house".split()) == 0

# %%
# The bigram model said 0.5 and 0.5. The network has kept in its hidden state whether it read *cat* or *cats*, three
# words earlier, and it uses this after *house*.
#
# Score, write, and fill in
# -------------------------
#
# A language model *scores*: it tells which of several sentences is more likely. A program that recognizes speech uses
# this to choose among words that sound alike.


def log_probability(sentence):
    """Returns ln P of a whole sentence, its end included."""
    batch = batch_of([sentence.split()])
    losses, *_ = functions.loss(*batch.arrays, *model.initial_state(1))
    return -float(losses.sum())


scores = {s: log_probability(s) for s in ("the cats see the dog", "the cats sees the dog", "dog the see cats the")}
for sentence, score in scores.items():
    print(f"{score:7.2f}  {sentence}")
assert list(scores.values()) == sorted(scores.values(), reverse=True)
assert abs(scores["the cats see the dog"] + np.log(10)) < 0.5  # nearly 1/10, as it is one of ten sentences

# %%
# It also *writes*: it draws the next word with the probabilities that it has computed, reads this word, and goes on
# until it draws ``</s>``.


def write_sentence(rng):
    written = []
    while len(written) < 20:
        p = next_token_probabilities(written).astype("float64")
        token = vocabulary.id_to_token(rng.choice(16, p=p / p.sum()))
        if token == "</s>":
            break
        written.append(token)
    return written


rng = np.random.default_rng(1)
written = [write_sentence(rng) for _ in range(5)]
for sentence in written:
    print(" ".join(sentence), "" if sentence in training_sentences else "   <- new")
assert sum(sentence in training_sentences for sentence in written) >= 3

# %%
# It writes the ten sentences, because it has learned them by heart. Part 2 uses a whole novel in their place.
#
# The second system of the package *fills in* a missing word. It has two recurrent networks. One reads the words before
# the gap from the left; the other reads the words behind the gap, starting from the end.

from theano_rnn.tasks.blanks import batches as fill_batches
from theano_rnn.tasks.blanks import fill, read_blanks
from theano_rnn.tasks.cloze import Cloze

fill_model = Cloze(config, rng=np.random.default_rng(1))
fill_functions = fill_model.compile("train", "predict", engine="jax", device="cpu", optimizer="adam")
fill_batch = fill_batches(ids_of(training_sentences), vocabulary, batch_size=10)[0]
for _ in range(150):
    fill_functions.train(*fill_batch.arrays, *fill_model.initial_state(10), np.float32(0.01))

for line, word in (("the ___ in the garden are asleep", "cats"), ("the cats ___ the dog", "see")):
    ((tokens, places),) = read_blanks(line, text_config)
    (guesses,) = fill(fill_functions.predict, fill_model.initial_state, vocabulary, tokens, places, num_words=2)
    print(f"{line:34}", *(f"{guess} {probability:.2f}" for guess, probability in guesses), sep="  ")
    assert guesses[0][0] == word
    assert guesses[0][1] > 0.8

# %%
# In the first sentence the word before the gap, *the*, says almost nothing. What is needed comes later: *are* asks for
# a plural. A language model, which reads from left to right, could not know this. (Both sentences are among the ten,
# so these guesses are remembered as well. For a novel, see "The missing word" in the README of the repository.)
#
# What you have seen
# ------------------
#
# - A recurrent network reads a sequence step by step, with the same weights at each step. Its hidden state is its
#   memory.
# - A language model predicts each token from those before it. Its loss is the mean of :math:`-\ln P`, in nats per
#   token; the perplexity is :math:`e^{\mathrm{loss}}`.
# - A model that knows nothing has the loss :math:`\ln` (size of the vocabulary).
# - Only text that the model has not seen tells how good it is.
#
# Part 2, ``part_2_a_language_model.py``, builds a recurrent language model of a novel: first in NumPy, then as a
# symbolic graph in Aesara, which finds the derivatives for us.
#
# Exercises
# ---------
#
# Try them before you read on; the solutions follow.
#
# 1. *A unit that remembers.* Choose weights for a network with one hidden unit and :math:`f = \tanh` that tells at
#    each time step whether a 1 has occurred up to now.
# 2. *By hand.* What is the bigram probability of "the cat in the house is hungry", and its perplexity?
# 3. *The lowest loss.* Why can no model have a mean loss below :math:`10 \ln 10 / 72 = 0.320` nats per token on the
#    ten sentences? How close did the network come?
# 4. *How much smoothing?* Which of :math:`k` = 1, 0.3, 0.1, 0.03, 0.01, 0.001 gives the lowest perplexity on the
#    validation text? Which one on the training text? Which one would you use?
# 5. *A network without memory.* Hold ``W_hh`` at zero while the network learns. What perplexity on the training text
#    do you expect, and why?

# %%
# **Solution 1.** The unit must be near 0 until the first 1 comes, and near 1 from then on. With ``W_xh`` = 5 and
# ``W_hh`` = 5 a single 1 brings it to :math:`\tanh 5 = 0.9999`. Without a further 1, it stays at
# :math:`\tanh(5 \cdot 0.9999)`, which is again 0.9999.

h_t, memory = 0.0, []
for symbol in [0, 0, 1, 0, 0, 1, 0] + [0] * 100:
    h_t = np.tanh(5 * symbol + 5 * h_t)
    memory.append(h_t > 0.5)
assert memory == [False, False] + [True] * 105
print("after 104 more steps the unit is still", round(h_t, 4))

# %%
# **Solution 2.** The sentence has eight tokens with its end, so its perplexity is the eighth root of 300:
#
# .. math::
#
#    P = 1 \cdot \frac{3}{20} \cdot \frac{2}{3} \cdot 1 \cdot \frac{2}{20} \cdot \frac{1}{2} \cdot \frac{2}{3} \cdot 1
#      = \frac{1}{300}

probabilities = [bigram_probability(*pair) for pair in pairs_of("the cat in the house is hungry".split())]
assert np.isclose(np.prod(probabilities), 1 / 300)
assert len(probabilities) == 8
print(f"probability 1/{1 / np.prod(probabilities):.0f}, perplexity {300 ** (1 / 8):.2f}")

# %%
# **Solution 3.** The ten sentences are different, so their probabilities sum to at most 1. The logarithm is a concave
# function; so, for a given sum, the logarithms have the largest mean if all ten probabilities are equal. Then each of
# them is at most 1/10, and a sentence costs at least :math:`\ln 10` nats. The ten sentences have 72 tokens.

lowest = 10 * np.log(10) / num_tokens
print(f"lowest possible: {lowest:.4f} nats, the network: {training_losses[-1]:.4f} nats")
assert lowest - 1e-4 < training_losses[-1] < lowest + 0.05

# %%
# **Solution 4.** On the training text, less smoothing is always better, because each of its pairs has been seen. On
# the validation text, too little smoothing costs much at the pair that was not seen, and too much smoothing forgets
# what was counted. One uses the :math:`k` that is best on the validation text. Strictly speaking, validation text with
# which something was chosen is no longer unseen. For the final result one keeps a third part, the *test* text, and
# uses it once.

strengths = (1, 0.3, 0.1, 0.03, 0.01, 0.001)
perplexities = []
for k in strengths:
    smoothed = [
        loss_of(lambda left, right, k=k: smoothed_probability(left, right, k), sentences)
        for sentences in (training_sentences, validation_sentences)
    ]
    perplexities.append(np.exp(smoothed))
    print(f"k = {k:<5}  training {perplexities[-1][0]:.2f}   validation {perplexities[-1][1]:.2f}")
best_training, best_validation = np.argmin(perplexities, axis=0)
assert strengths[best_training] == 0.001
assert 0 < best_validation < len(strengths) - 1

# %%
# **Solution 5.** Without ``W_hh``, the state depends on the current token only. The network is then a bigram model,
# learned in place of counted. On the training text, no bigram model can be better than the counted one, which has
# perplexity 2.16.

_, _, records_without_memory = train_network(seed=1, has_memory=False)
last_loss = records_without_memory[-1, 1]
print(f"without memory: perplexity {np.exp(last_loss):.3f}; counted bigrams: {np.exp(bigram_loss):.3f}")
assert bigram_loss - 1e-4 < last_loss < bigram_loss + 0.05
