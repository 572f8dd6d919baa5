"""Read the data of a training run, with a progress bar."""

from __future__ import annotations

import dataclasses
from typing import Any

from theano_rnn.cli.console import reading_progress
from theano_rnn.cli.resuming import with_advice
from theano_rnn.cli.run_settings import Settings
from theano_rnn.cli.taken_vocabulary import vocabulary_from
from theano_rnn.learning.checkpoint import Checkpoint
from theano_rnn.settings.base import UserError
from theano_rnn.tasks.task import Data


def read_data(settings: Settings, files: Any, checkpoint: Checkpoint | None, initial: Checkpoint | None) -> Data:
    """Read the data of a task. The run is resumed from `checkpoint`, or starts from the model `initial`, if given."""
    source = checkpoint or initial
    is_learned = getattr(settings.sections.get("text"), "unit", None) == "subword"  # too much work to learn it again
    taken_from = getattr(files, "vocab_from", None)
    is_taken = getattr(files, "init_from", None) is not None or taken_from is not None
    facts = source.facts if source is not None and (is_taken or is_learned) else None
    if source is None and taken_from is not None:
        vocabulary = vocabulary_from(taken_from)
        facts = {"vocabulary": dataclasses.replace(vocabulary, text=settings.sections["text"])}
    progress, close = reading_progress(settings.task.reading)
    try:
        return settings.task.read(
            {**settings.sections, "corpus": files}, known=facts,
            is_resumed=checkpoint is not None, progress=progress,
        )  # fmt: skip
    except UserError as error:
        raise error if checkpoint is None else with_advice(error, files) from None
    finally:
        close()
