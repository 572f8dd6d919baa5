"""Measures of a captioner beyond those of its training: CIDEr, retrieval, and where the words of scenes look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from theano_rnn.learning.evaluation import evaluate
from theano_rnn.scoring.cider import caption_words, cider
from theano_rnn.scoring.pointing import pointing
from theano_rnn.scoring.retrieval import ranks, recall
from theano_rnn.tasks.caption_batches import CaptionedImages
from theano_rnn.tasks.caption_pairs import caption_attention, pair_log_probabilities
from theano_rnn.tasks.scenes import COLOURS, NUM_SCENES, SEED, SHAPES, SIDES, SIZE, Scenes, make_scenes
from theano_rnn.tasks.trained_model import TrainedModel

KINDS = {"colour": frozenset(COLOURS), "shape": frozenset(SHAPES), "size": frozenset(SIDES)}  # of words
DEPTHS = (1, 5, 10)  # of recall
EVALUATED = {"test": (2, False), "new": (3, True)}  # part: its number in `scene_parts`, and whether its pairs are new


def evaluated_scenes() -> dict[str, Scenes]:
    """Returns the test scenes, and as many with pairs of a colour and a shape that training never shows, ``"new"``."""
    return {part: make_scenes(NUM_SCENES["test"], np.random.default_rng([SEED, number]), is_new=is_new)
            for part, (number, is_new) in EVALUATED.items()}  # fmt: skip


def is_trained_on_scenes(model: TrainedModel) -> bool:
    """Returns whether a captioner was trained on scenes, and has a token for every word about their objects."""
    vocabulary, config = model.checkpoint.facts["vocabulary"], model.model.config
    is_drawn = not model.sections["corpus"].train and (config.height, config.width, config.feature_size) == (
        SIZE,
        SIZE,
        0,
    )
    return is_drawn and all(word in vocabulary for words in KINDS.values() for word in words)


def measured(
    model: TrainedModel, part: CaptionedImages, *, num_ranked: int = 0, progress: Callable[[int], None] | None = None
) -> tuple[dict[str, float], list[tuple[int, ...]]]:
    """Returns the measures of a captioner on a part, by name, and its greedy captions, without their ends.

    Parameters
    ----------
    num_ranked
        The number of pictures, the first ones, for `retrieval`; 0: none.
    progress : optional
        Called with the number of these pictures that are done.
    """
    task: Any = model.task
    facts, dtype = model.checkpoint.facts, model.model.config.dtype
    batches = task.batches(part, model.sections, facts, dtype=dtype)
    found = evaluate(model.function("loss"), batches, model.model.initial_state, sums_of=task.sums)
    assert found is not None
    captions = [each[0].ids for each in task.captions(model.function, model.model, part.images, facts)]
    values = task.with_captions(found, captions, part, facts).values(task.measures)
    values["cider"] = mean_cider([task.text(ids, facts) for ids in captions], part.references)
    values |= swaps(captions, part)
    if num_ranked:
        values |= retrieval(model.function, first_pictures(part, num_ranked), facts, dtype, progress)
    return values, captions


def scene_measures(
    model: TrainedModel, scenes: Scenes, part: CaptionedImages, grid: tuple[int, int], **options: Any
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Returns the measures of `measured` on scenes, and the rows of `scene_pointing`."""
    task: Any = model.task
    values, captions = measured(model, part, **options)
    return values, scene_pointing(model.function, scenes, part, task.are_exact(captions, part), model.checkpoint.facts,
                                  grid=grid, dtype=model.model.config.dtype)  # fmt: skip


def first_pictures(part: CaptionedImages, count: int) -> CaptionedImages:
    """Returns the first pictures of a part with their captions, which are in the order of the pictures."""
    num_captions = int((part.owners < count).sum())
    lengths = part.lengths[:num_captions]
    return CaptionedImages(part.images[:count], part.ids[: lengths.sum()], lengths, part.owners[:num_captions],
                           part.names[:count], part.references[:count])  # fmt: skip


def swaps(captions: Sequence[tuple[int, ...]], part: CaptionedImages) -> dict[str, float]:
    """Returns how often the caption changes if a picture is replaced by the next one (the last one by the first).

    A model that writes the same caption for every picture has 0 %, whatever its loss.

    Parameters
    ----------
    captions
        What the model writes for each picture. It does not depend on other pictures.

    Returns
    -------
    dict
        ``"swaps"``, the number of pictures that have no true caption in common with the next one, and
        ``"changed_by_swap"``, the percentage of these whose caption changes. (0 % if there are none.)
    """
    true = part.true_captions()
    pairs = [(i, (i + 1) % len(captions)) for i in range(len(captions))]
    swapped = [pair for pair in pairs if true[pair[0]].isdisjoint(true[pair[1]])]
    num_changed = sum(captions[i] != captions[j] for i, j in swapped)
    return {"swaps": len(swapped), "changed_by_swap": 100 * num_changed / max(1, len(swapped))}


def mean_cider(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Returns the mean CIDEr of captions, multiplied by 100 as in publications."""
    given = [[caption_words(text) for text in each] for each in references]
    return 100 * float(np.mean(cider([caption_words(text) for text in texts], given)))


def retrieval(
    compiled: Callable[[str], Any], part: CaptionedImages, facts: Mapping[str, Any], dtype: str,
    progress: Callable[[int], None] | None = None,
) -> dict[str, float]:  # fmt: skip
    """Returns how often ln P(caption | picture) finds the right caption of a picture among all, and the right picture
    of a caption: the percentage of those among the first 1, 5 and 10.
    """
    owners: dict[tuple[int, ...], set[int]] = {}  # of each caption, all pictures with it
    for owner, ids in zip(part.owners, part.captions()):
        owners.setdefault(tuple(ids.tolist()), set()).add(int(owner))
    captions = [np.array(ids, np.int32) for ids in owners]
    log_p = pair_log_probabilities(compiled, part.images, captions, facts, dtype, progress)
    is_right = np.zeros(log_p.shape, bool)
    for number, pictures in enumerate(owners.values()):
        is_right[list(pictures), number] = True
    found = {"caption": ranks(log_p, is_right), "picture": ranks(log_p.T, is_right.T)}
    return {"ranked_pictures": len(part.images), "ranked_captions": len(captions)} | {
        f"{what}_in_{depth}": recall(values, depth) for what, values in found.items() for depth in DEPTHS
    }


def scene_pointing(
    compiled: Callable[[str], Any], scenes: Scenes, part: CaptionedImages, is_right: Any, facts: Mapping[str, Any],
    *, grid: tuple[int, int], dtype: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """Returns how well the words of scenes point at what they are about: for each kind of word, a `Pointing` as a dict.

    It is measured on the true captions. Where the model writes the true caption by itself, the words look where they do
    when it writes them, so the rows ``"right"`` are also about what it writes.

    Parameters
    ----------
    is_right : bool (scenes,)
        Whether the model writes the true caption.
    """
    rows: dict[tuple[bool, str], list[tuple[Any, Any, Any]]] = {}
    for number, weights in caption_attention(compiled, part.images, part.captions(), facts, dtype):
        for word, about, at in zip(scenes.captions[number].split(), scenes.about[number], weights):
            kind = next((kind for kind, words in KINDS.items() if word in words), None)
            if about >= 0 and kind is not None:
                boxes = scenes.boxes[number]
                rows.setdefault((bool(is_right[number]), kind), []).append((at, boxes[about], boxes[1 - about]))
    found = []
    for captions, choices in (("right", [True]), ("all", [True, False])):
        for kind in KINDS:
            words = [row for choice in choices for row in rows.get((choice, kind), [])]
            arrays = [np.array(each) for each in zip(*words)] if words else [np.zeros((0, 4))] * 3
            measured = pointing(arrays[0], arrays[1], arrays[2], grid, (SIZE, SIZE))
            found.append({"captions": captions, "kind": kind, **measured._asdict()})
    return found
