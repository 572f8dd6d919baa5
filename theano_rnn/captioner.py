"""Use a trained captioner: describe pictures, score given captions, and show what each word looks at.

captioner = Captioner("runs/photos.safetensors")
[each.text for each in captioner.describe(["a.jpg", "b.png"])]
captioner.score("a.jpg", "a dog runs through the snow")
captioner.attention("a.jpg").weights

The commands use this class. A picture is a file, the bytes of one, or an array uint8 (height, width, 3); or for a model
that reads ready-made features, an array float (regions, channels). A picture's captions do not depend on the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from theano_rnn.generation.batched_search import num_proposals
from theano_rnn.generation.hypotheses import Hypothesis, SearchRules
from theano_rnn.images.reading import picture_of, pixels_of, read_pixels
from theano_rnn.nn.image_encoder import grid_of
from theano_rnn.settings.base import UserError
from theano_rnn.settings.description import CaptionSearchConfig
from theano_rnn.tasks.caption_batches import CaptionedImages, scaled
from theano_rnn.tasks.caption_evaluation import measured, scene_measures
from theano_rnn.tasks.caption_pairs import pair_log_probabilities
from theano_rnn.tasks.scenes import Scenes
from theano_rnn.tasks.trained_model import TrainedModel
from theano_rnn.text.parallel_sources import line_tokenizer
from theano_rnn.text.vocabulary import EOS, Vocabulary

DIVERGED = ("the model's outputs are not numbers, because its training diverged: train it again with a smaller "
            "--learning-rate")  # fmt: skip
POOL = 256  # pictures that are read ahead


class Caption(NamedTuple):
    """A caption. `log_probability` is ln P(text | picture) with its end, in nats; `score` is what ranks it.

    `ids` are its tokens in the vocabulary, without the end.
    """

    text: str
    log_probability: float
    score: float
    ids: tuple[int, ...]


class Described(NamedTuple):
    """A picture's name, "" if it has none, and its captions, the best first."""

    name: str
    captions: list[Caption]

    @property
    def text(self) -> str:
        """The best caption."""
        return self.captions[0].text


class Attention(NamedTuple):
    """How much each word of a caption attends to each region of the picture when it is chosen.

    `words` ends with ``</s>``. `weights` are float64 (words, rows, columns), row 0 at the top of the picture; with
    ready-made features (words, 1, regions). The weights of a word sum to 1.
    """

    words: list[str]
    weights: Any


class Captioner(TrainedModel):
    """A trained captioner, with the best parameters and the vocabulary of its checkpoint.

    Parameters
    ----------
    path
        The checkpoint.
    engine, device, compiler
        As for `TrainedModel`.

    Raises
    ------
    UserError
        The checkpoint was trained for another task, or is not a checkpoint.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        engine: str = "auto",
        device: str = "auto",
        compiler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(path, task="describe", engine=engine, device=device, compiler=compiler)
        self.facts = self.checkpoint.facts
        self.vocabulary: Vocabulary = self.facts["vocabulary"]
        self.split = line_tokenizer(self.vocabulary)
        self.steps: dict[int, Any] = {}

    @property
    def reads_features(self) -> bool:
        """Whether the model reads ready-made features, not pictures."""
        return bool(self.model.config.feature_size)

    @property
    def grid(self) -> tuple[int, int]:
        """The number of rows and columns of regions; of ready-made features 1 and their number."""
        config = self.model.config
        return (1, config.num_regions) if self.reads_features else grid_of(config.channels, config.height, config.width)

    def image(self, source: Any, name: str | None = None) -> Any:
        """Returns a picture as the model stores it, uint8 (height, width, 3); or its features, float32 (regions,
        channels).

        Raises
        ------
        OSError, UserError
            As of `open_picture`; or an array has the wrong shape.
        """
        config = self.model.config
        if self.reads_features:
            shape = (config.num_regions, config.feature_size)
            if not isinstance(source, np.ndarray) or source.shape != shape:
                got = f"shape {source.shape}" if isinstance(source, np.ndarray) else f"{source!r:.40}"
                raise UserError(f"this model reads ready-made features, arrays of shape {shape}: got {got}")
            return source.astype(np.float32)
        if not isinstance(source, np.ndarray):
            return read_pixels(source, config.height, config.width, name)
        if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8 or not source.size:
            raise UserError(f"a picture must be an array uint8 (height, width, 3), got {source.dtype} {source.shape}")
        if source.shape[:2] == (config.height, config.width):
            return source
        return pixels_of(picture_of(source), config.height, config.width)

    def describe(
        self,
        images: Sequence[Any],
        num_best: int = 1,
        *,
        beam_size: int | None = None,
        length_power: float = CaptionSearchConfig.length_power,
        no_repeat_ngram_size: int = CaptionSearchConfig.no_repeat_ngram_size,
    ) -> list[Described]:
        """Returns each picture with its `num_best` best captions.

        Parameters
        ----------
        images
        num_best
        beam_size
            The number of hypotheses; by default 3, or `num_best` if that is larger. 1 takes the likeliest word at each
            step.
        length_power
            Captions are ranked by ``log P / length ** length_power``.
        no_repeat_ngram_size
            Never repeat a sequence of this many tokens; 0: no such rule.

        Raises
        ------
        OSError, UserError
            As of `image`; or a setting is out of range.
        """
        size = max(CaptionSearchConfig.beam_size, num_best) if beam_size is None else beam_size
        config = CaptionSearchConfig(size, num_best, length_power, no_repeat_ngram_size)
        return list(self.stream(((name_of(source), self.image(source)) for source in images), config))

    def stream(
        self, images: Iterable[tuple[str, Any]], config: CaptionSearchConfig | None = None
    ) -> Iterator[Described]:
        """Yields each picture, given by its name and array as of `image`, with its captions, in order.

        Reads at most 256 pictures ahead.
        """
        config = config or CaptionSearchConfig()
        rules = SearchRules(config.beam_size, config.nbest, config.length_power, config.no_repeat_ngram_size)
        pool: list[tuple[str, Any]] = []
        for each in images:
            pool.append(each)
            if len(pool) == POOL:
                yield from self.described(pool, rules)
                pool = []
        yield from self.described(pool, rules)

    def described(self, pool: Sequence[tuple[str, Any]], rules: SearchRules) -> Iterator[Described]:
        """Yields some pictures with their captions."""
        if not pool:
            return
        if rules.beam_size not in self.steps:
            self.model.num_top = num_proposals(rules.beam_size)
            self.steps[rules.beam_size] = checked(self.compile("search_step"))
        functions = {"search_step": self.steps[rules.beam_size]}
        found = self.task.captions(  # type: ignore[attr-defined]
            lambda name: functions.get(name) or self.function(name), self.model, np.stack([each for _, each in pool]),
            self.facts, rules,
        )  # fmt: skip
        for (name, _), hypotheses in zip(pool, found):
            yield Described(name, list(map(self.caption, hypotheses)))

    def caption(self, found: Hypothesis) -> Caption:
        """Returns what the search found as text."""
        text = self.task.text(found.ids, self.facts)  # type: ignore[attr-defined]
        return Caption(text, found.log_probability, found.score, found.ids)

    def ids(self, text: str) -> Any:
        """Returns the ids of a caption with its end, int32."""
        return np.array([*map(self.vocabulary.token_to_id, self.split(text)), self.vocabulary.eos_id], np.int32)

    def score(self, image: Any, text: str) -> float:
        """Returns ln P(text | picture), in nats, with the end of the text."""
        return float(self.log_probabilities(self.image(image)[None], [text])[0, 0])

    def log_probabilities(self, images: Any, texts: Sequence[str]) -> Any:
        """Returns ln P(text | picture) in nats of each text for each picture, float64 (pictures, texts).

        Parameters
        ----------
        images : array (pictures, ...)
            As of `image`, stacked.
        texts : sequence of str
        """
        captions = [self.ids(text) for text in texts]
        found = pair_log_probabilities(self.function, images, captions, self.facts, self.model.config.dtype)
        if np.isnan(found).any():
            raise UserError(DIVERGED)
        return found

    def attention(self, image: Any, caption: str | Caption | None = None) -> Attention:
        """Returns what each word of a caption attends to; by default of the best caption.

        Raises
        ------
        OSError, UserError
            As of `image`.
        """
        source = self.image(image)
        if caption is None:
            caption = next(self.stream([("", source)])).captions[0]
        ids = self.ids(caption) if isinstance(caption, str) else np.array([*caption.ids, self.vocabulary.eos_id])
        tokens = np.array([self.vocabulary.bos_id, *ids[:-1]], np.int32)[:, None]
        arrays = scaled(source[None], self.facts["images"], self.model.config.dtype), tokens
        (weights,) = self.function("attention")(*arrays, np.ones(tokens.shape, self.model.config.dtype))
        words = [*self.vocabulary.decode(ids[:-1]), EOS]
        return Attention(words, np.asarray(weights, np.float64)[:, 0].reshape(len(ids), *self.grid))

    def part(self, images: Any, references: Sequence[Sequence[str]]) -> CaptionedImages:
        """Returns pictures with true captions as the task has them.

        Parameters
        ----------
        images : array (pictures, ...)
            As of `image`, stacked.
        references : sequence of sequence of str
            The captions of each picture, at least one.
        """
        captions = [self.ids(text) for texts in references for text in texts]
        counts = list(map(len, references))
        return CaptionedImages(images, np.concatenate(captions), np.array(list(map(len, captions)), np.int64),
                               np.repeat(np.arange(len(counts)), counts), [], references)  # fmt: skip

    def evaluate(self, images: Any, references: Sequence[Sequence[str]], **options: Any) -> dict[str, float]:
        """Returns the measures of training and CIDEr for pictures with true captions, by name; all but the loss and the
        perplexity are those of greedy captions. Arguments are those of `part`, options those of `measured` in
        `tasks.caption_evaluation`, such as ``num_ranked=100`` for recall.
        """
        return measured(self, self.part(images, references), **options)[0]

    def evaluate_scenes(self, scenes: Scenes, **options: Any) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Returns the measures of `evaluate` for drawn scenes, and where their words look: see `scene_pointing` in
        `tasks.caption_evaluation`.
        """
        part = self.part(scenes.images, [[caption] for caption in scenes.captions])
        return scene_measures(self, scenes, part, self.grid, **options)


def name_of(source: Any) -> str:
    """Returns the name of a picture that is a file; "" for others."""
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""


def checked(step: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Wrap a search step: it raises `UserError` if the model diverged in training."""

    def checked_step(*arguments: Any) -> list[Any]:
        results: list[Any] = step(*arguments)
        if np.isnan(np.asarray(results[0])).any():
            raise UserError(DIVERGED)
        return results

    return checked_step
