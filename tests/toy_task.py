"""A task in few lines: does a line hold the word "x"? A recurrent network with one output, at the end of the line."""

import aesara.tensor as T

from theano_rnn.engine.compiling import Graph
from theano_rnn.learning.batching import Batch
from theano_rnn.learning.measures import LOSS, Measure
from theano_rnn.learning.trainable import Trainable
from theano_rnn.learning.updates import UpdateRule
from theano_rnn.model import training_step
from theano_rnn.nn.embedding import make_embedding, project_words
from theano_rnn.nn.layers import make_layers
from theano_rnn.nn.regularization import NO_DROPOUT
from theano_rnn.tasks.blanks import batches
from theano_rnn.tasks.text_task import TextTask


class Lines(Batch):
    arrays = property(lambda self: (self.targets, self.mask))
    num_targets = property(lambda self: int(self.mask.any(axis=0).sum()))  # the last columns may be empty


class Detector(Trainable):
    def __init__(self, config, x_id, rng):
        super().__init__()
        self.config, self.x_id, self.layers = config, x_id, make_layers(config, rng=rng)
        self.embedding = make_embedding(config.vocab_size + 2, config.embedding_size, rng=rng, dtype=config.dtype)
        self.params = {"embedding": self.embedding, **self.layers.params}

    def initial_state(self, batch_size):
        return self.layers.initial_state(batch_size)

    def loss(self):
        dtype, words, state = self.config.dtype, T.imatrix("words"), self.symbolic_state()
        mask = T.matrix("mask", dtype=dtype)
        projected, _ = project_words(self.embedding, words, self.layers, NO_DROPOUT, self.config.vocab_size + 2)
        _, final = self.layers.run(projected, mask, state)
        score, is_line = final[0].sum(axis=1), mask.max(axis=0)
        holds_x = T.cast(T.any(T.eq(words, self.x_id) & T.gt(mask, 0), axis=0), dtype)
        losses, is_right = T.softplus(score * (1 - 2 * holds_x)), T.cast(T.eq(T.gt(score, 0), holds_x), dtype)
        return Graph([words, mask], state, outputs=[is_line * losses, is_line * is_right], new_state=final)

    def train(self, *, seed, regularization, with_norms, **rule):
        graph, rate = self.loss(), T.scalar("rate", dtype=self.config.dtype)
        loss = graph.outputs[0].sum() / graph.inputs[1].max(axis=0).sum()
        _, updates = training_step(self, loss, rate, update=UpdateRule(**rule))
        return graph._replace(others=[rate], totals=[loss], outputs=[], updates=updates)


class Toy(TextTask):
    name, kind, summary, target_name = "toy", "detector", "whether a line holds an x", "lines"
    measures, measured = (LOSS, Measure("accuracy", digits=3, is_higher_better=True)), ("loss", "accuracy")

    def make_model(self, sections, facts, *, rng, num_devices=1):
        return Detector(self.model_config(sections, facts, 1), facts["vocabulary"].token_to_id("x"), rng=rng)

    def batches(self, part, sections, facts, *, dtype, epoch=None):
        found = batches(part, facts["vocabulary"], batch_size=sections["training"].batch_size, dtype=dtype)
        return [Lines(*batch) for batch in found]
