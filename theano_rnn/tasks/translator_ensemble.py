"""What trained translators compute together, on ids: translations, scores of given pairs, and attention.

With one translator these are its own. With several, log P(target | source) is the mean of their log-probabilities, and
attention is the mean of their weights. A language model may take part in the search; see `joint_search`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from theano_rnn.generation.batched_search import num_proposals
from theano_rnn.generation.hypotheses import Hypothesis, SearchRules
from theano_rnn.generation.translating import padded_length, translate
from theano_rnn.nn.attention_decoder import NUM_CONTEXT
from theano_rnn.settings.base import UserError
from theano_rnn.tasks.fused_language_model import FusedLanguageModel
from theano_rnn.tasks.joint_search import JointSearch
from theano_rnn.tasks.pair_batches import PairBatches, Pairs
from theano_rnn.tasks.trained_model import TrainedModel
from theano_rnn.tasks.translate import banned_ids

BATCH_SIZE = 32  # of pairs that are scored
DIVERGED = ("the model's outputs are not numbers, because its training diverged: train it again with a smaller "
            "--learning-rate")  # fmt: skip


class TranslatorEnsemble:
    """Trained translators with the same vocabularies, and possibly a language model.

    Parameters
    ----------
    members
        At least one trained translator.
    language_model : optional
        One that has the target vocabulary of the translators.
    """

    def __init__(self, members: Sequence[TrainedModel], language_model: FusedLanguageModel | None = None) -> None:
        self.members, self.language_model = list(members), language_model
        facts = self.members[0].checkpoint.facts
        self.source_vocabulary, self.vocabulary = facts["source_vocabulary"], facts["vocabulary"]
        self.dtype = self.members[0].model.config.dtype
        self.steps: dict[tuple[int, bool, bool], tuple[JointSearch | None, Any]] = {}

    def search(
        self, sources: Sequence[Any], rules: SearchRules, *, lm_weight: float = 0.0, may_be_unknown: bool = False
    ) -> Iterator[list[Hypothesis]]:
        """Yields the translations of each source, an int32 array with its end.

        With a language model and a weight other than 0, the features of a hypothesis are log P and log P_LM.

        Parameters
        ----------
        may_be_unknown
            Whether a translation may have unknown words.
        """
        weight = lm_weight if self.language_model is not None else 0.0
        joint, step = self.step(rules.beam_size, bool(weight), bool(rules.coverage))
        functions = {"encode": lambda *arrays: self.encode(arrays, weight), "search_step": step}
        return translate(
            functions.__getitem__, sources, start_id=self.vocabulary.bos_id, end_id=self.vocabulary.eos_id,
            source_pad_id=self.source_vocabulary.pad_id, vocab_size=self.vocabulary.vocab_size,
            banned_ids=banned_ids(self.members[0].checkpoint.facts, may_be_unknown=may_be_unknown), rules=rules,
            dtype=self.dtype,
            num_context=NUM_CONTEXT if joint is None else joint.num_context,
            num_features=0 if joint is None else joint.num_features,
        )  # fmt: skip

    def step(self, beam_size: int, is_fused: bool, with_attention: bool) -> tuple[JointSearch | None, Any]:
        """Returns the compiled ``search_step`` for a beam of this size, and the `JointSearch` that it is of.

        One translator alone has a step of its own.
        """
        key = beam_size, is_fused, with_attention
        if key not in self.steps:
            first, num_top = self.members[0], num_proposals(beam_size)
            joint = None
            if is_fused or with_attention or len(self.members) > 1:
                fusion = self.language_model.fusion if is_fused and self.language_model else None
                models = [member.model for member in self.members]
                joint = JointSearch(models, fusion, num_top=num_top, with_attention=with_attention)
                step = first.compiler(joint, "search_step", engine=first.engine, device=first.device)
            else:
                first.model.num_top = num_top
                step = first.compile("search_step")
            self.steps[key] = joint, checked(step)
        return self.steps[key]

    def encode(self, arrays: Sequence[Any], weight: float) -> list[Any]:
        """Returns the states and the context of all models for source sentences, as `JointSearch` takes them.

        `arrays` are the arguments of ``encode`` of `TranslationModel`. A weight other than 0 adds the language model.
        """
        states: list[Any] = []
        context: list[Any] = []
        for member in self.members:
            results = member.function("encode")(*arrays)
            states, context = states + results[:-NUM_CONTEXT], context + results[-NUM_CONTEXT:]
        if weight and self.language_model is not None:
            states += self.language_model.model.initial_state(len(arrays[2]))
            context.append(np.asarray(weight, self.dtype))
        return [*states, *context]

    def log_probabilities(self, sources: Sequence[Any], targets: Sequence[Any]) -> Any:
        """Returns ln P(target | source) of each pair of ids, float64 (pairs,)."""
        found = np.zeros(len(sources))
        if not len(sources):
            return found
        source_lengths, target_lengths = (np.array(list(map(len, side)), np.int64) for side in (sources, targets))
        pairs = Pairs(np.concatenate(sources), np.concatenate(targets), source_lengths, target_lengths,
                      np.arange(len(sources)))  # fmt: skip
        batches = PairBatches(
            pairs, batch_size=BATCH_SIZE, start_id=self.vocabulary.bos_id, pad_id=self.vocabulary.pad_id,
            source_pad_id=self.source_vocabulary.pad_id, dtype=self.dtype,
        )  # fmt: skip
        for batch in map(batches.batch, range(len(batches))):
            for member in self.members:
                (losses,) = member.function("loss")(*batch.arrays)
                sums = np.asarray(losses, np.float64).sum(axis=0)[: len(batch.numbers)]
                if np.isnan(sums).any():
                    raise UserError(DIVERGED)
                found[batch.numbers] -= sums / len(self.members)
        return found

    def attention(self, source: Any, target: Any) -> Any:
        """Returns the attention weights of a pair of ids, each with its end: float64 (target, source)."""
        steps = padded_length(max(len(source), len(target)))
        arrays = []
        for given, pad_id in ((source, self.source_vocabulary.pad_id),
                              ([self.vocabulary.bos_id, *target[:-1]], self.vocabulary.pad_id)):  # fmt: skip
            padded, mask = np.full((steps, 1), pad_id, np.int32), np.zeros((steps, 1), self.dtype)
            padded[: len(given), 0], mask[: len(given), 0] = given, 1
            arrays += [padded, mask]
        weights = [np.asarray(member.function("attention")(*arrays)[0], np.float64) for member in self.members]
        return np.mean(weights, axis=0)[: len(target), 0, : len(source)]


def checked(step: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Wrap a search step: it raises `UserError` if a model diverged in training."""

    def checked_step(*arguments: Any) -> list[Any]:
        results: list[Any] = step(*arguments)
        if np.isnan(np.asarray(results[0])).any():
            raise UserError(DIVERGED)
        return results

    return checked_step
