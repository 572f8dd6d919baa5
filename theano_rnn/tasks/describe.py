"""The description task: write a caption for a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from theano_rnn.learning.measures import LOSS, PERPLEXITY, Measure
from theano_rnn.scoring.bleu import check_sacrebleu, translation_scores
from theano_rnn.settings.base import UserError
from theano_rnn.settings.description import CaptionedImagesConfig, DescriptionTrainingConfig
from theano_rnn.settings.network import DescriptionConfig
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.task import Compiled, Data, Progress, Sections, Task
from theano_rnn.tasks.text_task import UNITS, check_subwords
from theano_rnn.tasks.translate import BLEU, EXACT

if TYPE_CHECKING:
    import numpy as np

    from theano_rnn.generation.hypotheses import Hypothesis, SearchRules
    from theano_rnn.learning.evaluation import Evaluation

NOT_USED = ("batching", "bptt_steps", "random_windows", "state_reset", "add_words")
SCENE_SETTINGS: dict[str, Any] = {
    "batch_size": 16, "dropout": 0.0, "clip_norm": 1.0, "learning_rate": 0.003, "epochs": 7, "select": "exact",
    "image_shift": 2,
}  # fmt: skip
PHOTO_SETTINGS: dict[str, Any] = {
    "batch_size": 64, "dropout": 0.3, "clip_norm": 1.0, "learning_rate": 0.002, "patience": 4,
    "image_shift": 4,
}  # fmt: skip
MIN_UPDATES, MIN_EPOCHS = 4_000, 10  # of a run, whatever the number of its captions
BLEU_ORDER = 4  # BLEU of captions of fewer words is 0, because it counts sequences of so many
MAX_DESCRIBED = 2_000  # pictures of a part that are described to measure BLEU
MOST_REFERENCES = 2  # of an example that are shown


class Describe(Task):
    """Describe pictures. Its parts are `CaptionedImages`; its facts are a vocabulary, and sizes and scales of images.

    Captions of several models or settings are compared by BLEU and exact matches of greedy captions, those that take
    the likeliest word at each step.
    """

    name = "describe"
    kind = "captioner"
    commands = ("describe", "serve")
    summary = "the description of a picture"
    reading = "reading captions and pictures"
    sections = {  # noqa: RUF012
        "corpus": CaptionedImagesConfig, "text": TextConfig, "model": DescriptionConfig,
        "training": DescriptionTrainingConfig,
    }  # fmt: skip
    measures: ClassVar[tuple[Measure, ...]] = (LOSS, PERPLEXITY, BLEU, EXACT)

    def settled(self, sections: Sections, given: Mapping[str, Any]) -> Sections:
        for name in NOT_USED:
            if name in given:
                raise UserError(f"--{name.replace('_', '-')} cannot be used with --task describe: leave it out")
        check_sacrebleu("describe")
        if sections["corpus"].image_features and sections["training"].image_shift:
            raise UserError("--image-shift cannot be used with --image-features, which have no pixels: leave it out")
        training = dataclasses.replace(sections["training"], batching="sentences")
        text = TextConfig(**dataclasses.asdict(sections["text"]) | {"sentences": "line"})  # as the vocabulary keeps it
        check_subwords({**sections, "text": text}, given)
        return super().settled({**sections, "text": text, "training": training}, given)

    def chosen(self, sections: Sections, data: Data) -> dict[str, Any]:
        """Returns settings that were good for scenes; and for photographs more passes for fewer captions.

        Where all captions are too short for BLEU, exact captions decide which parameters are the best.
        """
        if not sections["corpus"].train:
            return SCENE_SETTINGS
        updates = max(1, len(data.parts["train"].lengths) // PHOTO_SETTINGS["batch_size"])
        found = PHOTO_SETTINGS | {"epochs": max(MIN_EPOCHS, -(-MIN_UPDATES // updates))}
        if sections["corpus"].image_features:
            del found["image_shift"]
        if data.parts["train"].lengths.max(initial=0) <= BLEU_ORDER:  # with the end
            found["select"] = "exact"
        return found

    def check_devices(self, sections: Sections, num_devices: int) -> None:
        from theano_rnn.tasks.labelled_batches import check_shared_columns

        check_shared_columns(sections["training"], num_devices)

    def check_stored(self, sections: Sections, facts: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        from theano_rnn.learning.stored_values import check_sizes, expect, is_count, is_number
        from theano_rnn.text.vocabulary import Vocabulary

        vocabulary, images, model = facts.get("vocabulary"), facts.get("images"), sections["model"]
        if not isinstance(vocabulary, Vocabulary):
            raise UserError("the checkpoint is damaged: it has no vocabulary")
        check_sizes(model, len(vocabulary), tensors)
        expect(isinstance(images, dict), "images", "an object", images)
        assert isinstance(images, dict)
        names = ("regions", "channels") if model.feature_size else ("height", "width")
        for name in (*names, "longest"):
            expect(is_count(images.get(name)) and images[name] > 0, f"images.{name}", "a whole number from 1",
                   images.get(name))  # fmt: skip
        for name in ("mean", "scale"):
            values = images.get(name)
            given = values if isinstance(values, list) else []
            is_right = len(given) in (1, 3) and all(map(is_number, given)) and (name == "mean" or all(given))
            expect(is_right, f"images.{name}", "1 or 3 numbers", values)
        sizes = (model.num_regions, model.feature_size) if model.feature_size else (model.height, model.width)
        if model.vocab_size != len(vocabulary) or sizes != tuple(images[name] for name in names):
            raise UserError("the checkpoint is damaged: its vocabulary and its pictures do not fit its network")
        available = sum(int(array.size) for array in tensors.values())
        pairs = zip((model.feature_size or 3, *model.channels), model.channels)
        regions = tensors.get("encoder.places")
        if max(before * after for before, after in pairs) > available or regions is None:
            raise UserError("the checkpoint is damaged: its channels do not fit its parameters")
        if any((array < 0).any() for name, array in tensors.items() if name.endswith(".variance")):
            raise UserError("the checkpoint is damaged: a variance is negative")
        if not model.feature_size:
            from theano_rnn.nn.image_encoder import grid_of

            rows, columns = grid_of(model.channels, model.height, model.width)
            if rows * columns != len(regions):
                raise UserError("the checkpoint is damaged: its pictures do not fit its regions")

    def default_files(self, corpus: Any, root: Any) -> Any:
        """Returns `corpus`. If it names no files, scenes are drawn; see `tasks.scenes`."""
        for name in ("valid", "test", "images", "image_features", "init_from"):
            if getattr(corpus, name) and not corpus.train:
                raise UserError(f"--{name.replace('_', '-')} needs --train: name the training captions, a table with "
                                "the columns image and caption, or COCO's captions_*.json")  # fmt: skip
        return corpus

    def read(
        self,
        sections: Sections,
        *,
        known: Mapping[str, Any] | None = None,
        is_resumed: bool = False,
        progress: Progress | None = None,
    ) -> Data:
        from theano_rnn.tasks.captioned_images import load_captioned_images

        if known is not None and "images" not in known:
            raise UserError("--init-from needs a captioner, because --task describe reads pictures: name a model "
                            "trained with --task describe")  # fmt: skip
        found = load_captioned_images(sections["corpus"], sections["text"], known=known, progress=progress)
        return Data(found.parts, found.facts, found.fingerprint, found.notes)

    def make_model(
        self, sections: Sections, facts: Mapping[str, Any], *, rng: np.random.Generator, num_devices: int = 1
    ) -> Any:
        from theano_rnn.tasks.caption_model import CaptionModel

        images = facts["images"]
        sizes = {"vocab_size": facts["vocabulary"].vocab_size}
        if "height" in images:
            sizes |= {"height": images["height"], "width": images["width"], "feature_size": 0}
        else:
            sizes |= {"num_regions": images["regions"], "feature_size": images["channels"]}
        return CaptionModel(dataclasses.replace(sections["model"], **sizes), rng=rng)

    def batches(
        self, part: Any, sections: Sections, facts: Mapping[str, Any], *, dtype: str, epoch: int | None = None
    ) -> Any:
        import numpy as np

        from theano_rnn.learning.batching import evaluation_batch_size
        from theano_rnn.tasks.caption_batches import CaptionBatches

        config, vocabulary = sections["training"], facts["vocabulary"]
        rng = None if epoch is None else np.random.default_rng([config.seed, epoch])
        size = evaluation_batch_size(config) if epoch is None else config.batch_size
        return CaptionBatches(
            part, facts["images"], batch_size=size, start_id=vocabulary.bos_id, pad_id=vocabulary.pad_id, rng=rng,
            image_shift=config.image_shift, dtype=dtype,
        )  # fmt: skip

    def size(self, part: Any) -> int:
        return int(part.lengths.sum())

    def completed(
        self, evaluation: Evaluation, compiled: Compiled, model: Any, part: Any, facts: Mapping[str, Any]
    ) -> Evaluation:
        """Returns the evaluation with BLEU and the percentage of exact captions, all of greedy ones."""
        found = self.captions(compiled, model, part.images[:MAX_DESCRIBED], facts)
        return self.with_captions(evaluation, [each[0].ids for each in found], part, facts)

    def with_captions(
        self, evaluation: Evaluation, captions: Sequence[tuple[int, ...]], part: Any, facts: Mapping[str, Any]
    ) -> Evaluation:
        """Returns the evaluation with BLEU and the percentage of exact ones of `captions`, those of the first pictures,
        without their ends.
        """
        count, texts = len(captions), [self.text(ids, facts) for ids in captions]
        exact = 100 * sum(self.are_exact(captions, part)) / count
        is_lower = facts["vocabulary"].text.lowercase
        references = [[text.lower() if is_lower else text for text in each] for each in part.references[:count]]
        bleu = next(each.score for each in translation_scores(texts, references) if each.name == "BLEU")
        return evaluation._replace(sums={**evaluation.sums, "bleu": bleu, "exact": exact})

    def are_exact(self, captions: Sequence[tuple[int, ...]], part: Any) -> list[bool]:
        """Returns whether each caption, of the first pictures, is one of the true ones of its picture."""
        return [ids in each for ids, each in zip(captions, part.true_captions())]

    def captions(
        self, compiled: Compiled, model: Any, images: Any, facts: Mapping[str, Any], rules: SearchRules | None = None
    ) -> list[list[Hypothesis]]:
        """Returns the best captions of pictures as they are stored, (pictures, ...); by default greedy ones."""
        from theano_rnn.generation.describing import describe
        from theano_rnn.generation.hypotheses import SearchRules
        from theano_rnn.tasks.caption_batches import scaled

        vocabulary, dtype = facts["vocabulary"], model.config.dtype
        return list(describe(
            compiled, images, lambda part: scaled(part, facts["images"], dtype), start_id=vocabulary.bos_id,
            end_id=vocabulary.eos_id, vocab_size=vocabulary.vocab_size, banned_ids=[vocabulary.unk_id],
            longest=facts["images"]["longest"], rules=rules or SearchRules(beam_size=1), dtype=dtype,
        ))  # fmt: skip

    def text(self, ids: Sequence[int], facts: Mapping[str, Any]) -> str:
        """Returns a caption as text."""
        from theano_rnn.text.words import detokenize

        return detokenize(facts["vocabulary"].decode(ids), facts["vocabulary"].text)

    def examples(
        self, compiled: Compiled, model: Any, data: Data, sections: Sections, *, count: int, seed: Sequence[int]
    ) -> list[str]:
        """Returns lines with the true captions of a picture of the validation part, and its caption."""
        import numpy as np

        part = data.parts["valid"]
        numbers = np.random.default_rng(seed).permutation(len(part.images))[:count]
        lines = []
        for number, found in zip(numbers, self.captions(compiled, model, part.images[numbers], data.facts)):
            given = part.references[number][:MOST_REFERENCES]
            lines.append("\n".join([f"{part.names[number]}: {' / '.join(given)}",
                                    f"-> {self.text(found[0].ids, data.facts)}"]))  # fmt: skip
        return lines

    def describe(self, data: Data) -> str:
        sizes = " / ".join(f"{len(part.images):,}" for part in data.parts.values())
        is_tested = " / test" if "test" in data.parts else ""
        train, vocabulary, images = data.parts["train"], data.facts["vocabulary"], data.facts["images"]
        kind = f"{images['height']} x {images['width']} pixels" if "height" in images else (
            f"features ({images['regions']}, {images['channels']})")  # fmt: skip
        return (f"{sizes} pictures to train / validate{is_tested} on, {kind}; {len(train.lengths):,} captions and "
                f"{len(train.ids):,} tokens to train on,\n{vocabulary.vocab_size:,} {UNITS[vocabulary.text.unit]} in "
                "the vocabulary")  # fmt: skip

    def test_facts(self, part: Any, facts: Mapping[str, Any], num_targets: int) -> dict[str, float]:
        return {self.target_name: num_targets, "pictures": len(part.images)}

    def describe_test(self, facts: Mapping[str, float]) -> str:
        return f"over {facts['pictures']:,} pictures"

    def drawn(self, sections: Sections) -> Measure:
        return BLEU

    def select(self, sections: Sections) -> Measure:
        """Returns the measure that decides which parameters are the best: BLEU, unless ``--select`` names one."""
        name = sections["training"].select or BLEU.name
        return next(measure for measure in self.measures if measure.name == name)
