"""Load trained models for the commands, one model or a mixture, with a progress display."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from theano_rnn.captioner import Captioner
from theano_rnn.classifier import Classifier
from theano_rnn.cli.console import advise, compiling_progress
from theano_rnn.cli.stopped_runs import note_unvalidated
from theano_rnn.generation.word_scores import NGramWords, RecurrentWords
from theano_rnn.language_model import LanguageModel
from theano_rnn.learning.batching import text_batches
from theano_rnn.preprocessing import encode_file
from theano_rnn.recognizer import Recognizer
from theano_rnn.scoring.interpolation import Mixture, fitted_weights, token_losses
from theano_rnn.scoring.sentences import Scorer
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.use import MixtureConfig
from theano_rnn.tasks.trained_model import TrainedModel
from theano_rnn.text.parallel_sources import line_tokenizer
from theano_rnn.translator import Translator


def compile_with_progress(model: Any, name: str, machine: MachineConfig, **options: Any) -> Any:
    """Compile one of the model's functions with the settings `machine`, and show a progress display."""
    progress, close = compiling_progress(machine.engine)
    try:
        num_devices = int(getattr(machine, "num_devices", 1)) if name in ("train", "loss") else 1
        functions = model.compile(
            name, engine=machine.engine, device=machine.device, num_devices=num_devices, progress=progress, **options
        )
        return getattr(functions, name)
    finally:
        close()


def open_model(path: str, machine: MachineConfig, *, task: str) -> TrainedModel:
    """Load a checkpoint that was trained for `task`."""
    model = TrainedModel(path, task=task, **loading_options(machine))
    note_unvalidated(path, model.checkpoint)
    return model


def open_language_model(path: str, machine: MachineConfig, *, sentences: str | None = None) -> LanguageModel:
    """Load a trained language model; `sentences` replaces the sentence splitting used in training."""
    model = LanguageModel(path, sentences=sentences, **loading_options(machine))
    note_unvalidated(path, model.checkpoint)
    return model


def open_classifier(path: str, machine: MachineConfig, *, temperature: float | None = None) -> Classifier:
    """Load a trained classifier; `temperature` replaces the one that its training has found."""
    model = Classifier(path, temperature=temperature, **loading_options(machine))
    note_unvalidated(path, model.checkpoint)
    return model


def open_translator(
    path: str, machine: MachineConfig, *, ensemble: Sequence[str] = (), lm: str | None = None
) -> Translator:
    """Load a trained translator, and the models that search together with it."""
    model = Translator(path, ensemble=ensemble, lm=lm, **loading_options(machine))
    members = [*model.ensemble.members, *([model.ensemble.language_model] if model.ensemble.language_model else [])]
    for name, member in zip([path, *ensemble, lm or ""], members):
        note_unvalidated(name, member.checkpoint)
    return model


def open_recognizer(
    path: str, machine: MachineConfig, *, lexicon: str | None = None, arpa: str | None = None,
    language_model: str | None = None,
) -> Recognizer:  # fmt: skip
    """Load a trained recognizer; a lexicon, an ARPA file or a language model replaces that of its checkpoint."""
    model = Recognizer(path, lexicon=lexicon, ngram=arpa, **loading_options(machine))
    note_unvalidated(path, model.checkpoint)
    if language_model is not None:
        decoder, other = model.decoder, open_language_model(language_model, machine)
        typical = decoder.scorer.typical() if isinstance(decoder.scorer, NGramWords) else None
        decoder.scorer = (recurrent_letters(other, decoder.labels) if decoder.is_lettered
                          else recurrent_words(other, decoder.words, typical))  # fmt: skip
    return model


def open_captioner(path: str, machine: MachineConfig) -> Captioner:
    """Load a trained captioner."""
    model = Captioner(path, **loading_options(machine))
    note_unvalidated(path, model.checkpoint)
    return model


def recurrent_words(model: LanguageModel, words: Sequence[str], typical: Any) -> RecurrentWords:
    """Returns a language model as a scorer of the words of a lexicon.

    Raises
    ------
    UserError
        It is not a model of words, or knows none of these.
    """
    vocabulary = model.vocabulary
    if vocabulary.text.unit != "word":
        raise UserError(f"--lm needs a language model of words, got one of unit {vocabulary.text.unit}: train it with "
                        "--unit word")  # fmt: skip
    split = line_tokenizer(vocabulary)
    ids: list[int | None] = []
    for word in words:
        tokens = split(word)
        found = vocabulary.token_to_id(tokens[0]) if len(tokens) == 1 else vocabulary.unk_id
        ids.append(None if found == vocabulary.unk_id else found)
    num_unknown = ids.count(None)
    if num_unknown == len(ids):
        raise UserError("the language model knows no word of the lexicon: train it on transcripts, spelled like the "
                        "lexicon")  # fmt: skip
    if num_unknown:
        advise([f"{num_unknown:,} of {len(ids):,} words of the lexicon are unknown to the language model"])
    return scorer_of_ids(model, ids, typical)


def recurrent_letters(model: LanguageModel, labels: Sequence[str]) -> RecurrentWords:
    """Returns a language model of characters as a scorer of a recognizer's letters.

    Raises
    ------
    UserError
        It is not a model of characters, or does not know a letter.
    """
    vocabulary = model.vocabulary
    if vocabulary.text.unit != "char":
        raise UserError("--lm needs a language model of characters, because this recognizer writes letters, got one of "
                        f"unit {vocabulary.text.unit}: train it with --unit char, or reorder the lists of --nbest with "
                        "rescore")  # fmt: skip
    if unknown := [label for label in labels if label not in vocabulary]:
        raise UserError(f"the language model does not know {', '.join(map(repr, unknown[:5]))}: train it on "
                        "transcripts in lower case, a line each")  # fmt: skip
    return scorer_of_ids(model, [vocabulary.token_to_id(label) for label in labels])


def scorer_of_ids(model: LanguageModel, ids: Sequence[int | None], typical: Any = None) -> RecurrentWords:
    """Returns a language model as a scorer of tokens, None where it lacks one."""
    return RecurrentWords(
        model.function("step"), model.model.initial_state, ids, start_id=model.start_id, end_id=model.end_id,
        unk_id=model.vocabulary.unk_id, typical=typical,
    )  # fmt: skip


def loading_options(machine: MachineConfig) -> dict[str, Any]:
    """Returns the options of `TrainedModel`: engine, device, and a compiler with a progress display."""

    def compiler(model: Any, name: str, *, engine: str, device: str, **options: Any) -> Any:
        return compile_with_progress(model, name, machine, **options)

    return {"engine": machine.engine, "device": machine.device, "compiler": compiler}


def open_mixture(
    model: LanguageModel, config: MixtureConfig, machine: MachineConfig
) -> tuple[Scorer, list[float] | None]:
    """Load the models to interpolate with `model`. Returns a scorer of the mixture, and the weights or None.

    Fitted weights are printed to standard error.
    """
    if not config.interpolate:
        return model.scorer(), None
    models = [model]
    for path in config.interpolate:
        other = open_language_model(path, machine, sentences=model.vocabulary.text.sentences)
        if other.vocabulary != model.vocabulary:
            raise UserError(f"{path} has another vocabulary, or splits text differently: interpolate only models with "
                            "the same vocabulary")  # fmt: skip
        if other.start_id != model.start_id:
            raise UserError(f"{path} was trained with another --batching: interpolate only models with the same one")
        models.append(other)
    members = [each.scorer() for each in models]
    weights = list(config.weights)
    if config.fit_weights is not None:
        ids = encode_file(config.fit_weights, model.vocabulary, column=config.column)
        batches = text_batches(ids, model.vocabulary, model.training, dtype=members[0].dtype)
        weights = [float(w) for w in fitted_weights(np.array([token_losses(member, batches) for member in members]))]
        advise([f"weights that fit {config.fit_weights}: {' '.join(f'{w:.4f}' for w in weights)}"])
    if len(weights) != len(models):
        raise UserError(f"--weights must be {len(models)} numbers, one for each checkpoint, got {len(weights)}")
    return Mixture(members, weights).scorer(), weights
