"""One step of a beam search with several models: an ensemble of translators, and a language model that helps them.

    log P(w) = mean over translators m of log P_m(w | y, x)                       an ensemble
    score(w) = log P(w) + weight log P_LM(w | y)                                  shallow fusion

of each next word w after the words y of a translation of x. The mean of the log-probabilities, which Nematus also
takes, is large only if no translator finds the word unlikely. The language model sees the target alone, so it can be
trained on much more text than there is with translations (Gulcehre et al. 2015). One compiled function runs all models
for all hypotheses, so only the likeliest words come to the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import aesara
import aesara.tensor as T
import numpy as np

from theano_rnn.engine.compiling import Graph, compile_graph
from theano_rnn.engine.static_shapes import cheap_shapes
from theano_rnn.learning.trainable import Functions
from theano_rnn.model import RNNLM
from theano_rnn.nn.attention_decoder import NUM_CONTEXT
from theano_rnn.nn.top_scores import top_scores
from theano_rnn.tasks.translation_model import TranslationModel


class Fusion(NamedTuple):
    """A language model, and its id of each of the translator's ids, int32 (vocab + 2,), padding and start included."""

    model: RNNLM
    ids: Any


class JointSearch:
    """Models that search for a translation together.

    Parameters
    ----------
    translators
        At least one. Their vocabularies are the same.
    fusion
        The language model, if there is one.
    num_top : int
        The number of words that each hypothesis proposes.
    with_attention : bool
        Whether a step returns attention weights.
    """

    def __init__(
        self, translators: Sequence[TranslationModel], fusion: Fusion | None, *, num_top: int, with_attention: bool
    ) -> None:
        self.translators, self.fusion = list(translators), fusion
        self.num_top, self.with_attention = num_top, with_attention
        self.dtype = self.translators[0].config.dtype

    @property
    def num_features(self) -> int:
        """The number of features of each proposed word: log P and log P_LM, or none without a language model."""
        return 0 if self.fusion is None else 2

    @property
    def num_context(self) -> int:
        """The number of arguments after `banned`: what each translator attends to, and the language model's weight."""
        return NUM_CONTEXT * len(self.translators) + (self.fusion is not None)

    def compile(self, name: str, *, progress: Any = None, **options: Any) -> Functions:
        """Compile ``search_step``; `options` are those of `compile_function`."""
        with cheap_shapes():
            graph = self.search_step()
        return Functions(**{name: compile_graph(graph, name=name, progress=progress, **options)})

    def search_step(self) -> Graph:
        """search_step(tokens, parents, *state, banned, *context) -> [scores, words, *features, *attention, *state]

        As `TranslationModel.search_step`, with the states of all models, the language model's last, in `state`, and in
        `context` keys, memory and bias of each translator, and then the weight of the language model. Features, if
        there is a language model, are log P and log P_LM of the proposed words, (batch, num_top) each. Attention, if
        wanted, has the mean weights of the translators (batch, positions).
        """
        tokens, parents = T.ivector("tokens"), T.ivector("parents")
        banned = T.vector("banned", dtype=self.dtype)
        states: list[Any] = []
        context: list[Any] = []
        new_states: list[Any] = []
        log_ps, weights = [], []
        for model in self.translators:
            _, state, attended = model.step_symbols()
            log_p, attention, new_state = model.next_scores(tokens, [each[parents] for each in state], attended)
            states, context, new_states = states + state, context + attended, new_states + new_state
            log_ps.append(log_p.astype(self.dtype))
            weights.append(attention.astype(self.dtype))
        log_p = scores = mean(log_ps)
        parts = []
        if self.fusion is not None:
            state, weight = self.fusion.model.symbolic_state(), T.scalar("weight", dtype=self.dtype)
            lm_log_p, new_state = self.language_model_scores(tokens, [each[parents] for each in state])
            states, context, new_states = states + state, [*context, weight], new_states + new_state
            scores, parts = log_p + weight * lm_log_p, [log_p, lm_log_p]
        values, words = top_scores(scores + banned, self.num_top)
        rows = T.arange(tokens.shape[0], dtype="int32").dimshuffle(0, "x")
        features = [part[rows, words] for part in parts]
        attention = [mean(weights).T] if self.with_attention else []
        return Graph([tokens, parents], states, [banned, *context], outputs=[values, words, *features, *attention],
                     new_state=new_states, batch_axis=0)  # fmt: skip

    def language_model_scores(self, tokens: Any, state: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Returns log P_LM of the translator's next words (batch, vocab), and the new state."""
        assert self.fusion is not None
        model, ids = self.fusion
        (h, *_), new_state = model.layers.step(model.embedding[aesara.shared(ids, name="ids")[tokens]], state)
        log_p = model.head.log_probabilities(h).astype(self.dtype)
        words = ids[:-2]  # padding and start are never predicted
        if not np.array_equal(words, np.arange(model.config.vocab_size)):
            log_p = log_p[:, aesara.shared(words, name="words")]
        return log_p, list(new_state)


def mean(arrays: Sequence[Any]) -> Any:
    """Returns the mean of arrays of the same shape; of one, the array itself."""
    first, *others = arrays
    return sum(others, first) * np.asarray(1 / len(arrays), first.dtype) if others else first
