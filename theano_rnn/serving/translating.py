"""Translating for the web page and the JSON interface of ``serve``, with plain values in and out."""

from __future__ import annotations

from typing import Any

from theano_rnn.settings.base import UserError
from theano_rnn.translator import Translated, Translator
from theano_rnn.view.attention_page import attention_record

LIMITS = {
    "characters": 5_000,  # of a text
    "lines": 20,  # of a text
    "tokens": 200,  # of a line
}
NUM_BEST = 5  # translations of each line that are found; the beam is as wide
WARM_UP_TOKENS = (4, 12, 24)  # of lines whose shapes are compiled before the first request


class ServedTranslator:
    """A translator as the page and the JSON interface use it.

    Parameters
    ----------
    model
    name
        The name that is shown for it.
    """

    def __init__(self, model: Translator, name: str) -> None:
        self.model = model
        self.name = name.encode("utf-8", "replace").decode()  # names of files need not be UTF-8, answers must

    def about(self) -> dict[str, Any]:
        """Name, kind, sizes and limits."""
        config = self.model.model.config
        return {
            "name": self.name,
            "kind": self.model.task.kind,
            "unit": self.model.vocabulary.text.unit,
            "cell": config.cell,
            "num_layers": config.num_layers,
            "hidden_size": config.hidden_size,
            "source_vocab_size": config.source_vocab_size,
            "vocab_size": config.vocab_size,
            "parameters": sum(int(p.get_value().size) for p in self.model.model.params.values()),
            "limits": LIMITS,
        }

    def answer(self, text: str) -> dict[str, Any]:
        """Returns the translations of each line of a text, and what the best one attends to.

        Raises
        ------
        UserError
            The text has too many lines, or a line too many tokens.
        """
        lines = text.splitlines()
        if len(lines) > LIMITS["lines"]:
            raise UserError(f"the text must have at most {LIMITS['lines']} lines, got {len(lines):,}")
        for number, line in enumerate(lines, 1):
            num_tokens = len(self.model.split_source(line))
            if num_tokens > LIMITS["tokens"]:
                raise UserError(f"line {number} must have at most {LIMITS['tokens']} tokens, got {num_tokens:,}")
        return {"lines": [self.line(found) for found in self.model.translate(lines, NUM_BEST)]}

    def line(self, found: Translated) -> dict[str, Any]:
        """Returns a line with its translations as plain values."""
        translations = [{"text": each.text, "log_probability": round(each.log_probability, 6),
                         "score": round(each.score, 6)} for each in found.translations]  # fmt: skip
        attention = None
        if found.translations:
            attention = attention_record(self.model.attention(found.source, found.translations[0]))
        return {"source": found.source, "translations": translations, "attention": attention,
                "num_unknown": found.num_unknown}  # fmt: skip


def warm_up(model: Translator) -> None:
    """Translate short lines, so that XLA compiles their shapes before the first request.

    Raises
    ------
    UserError
        The model's outputs are not finite numbers.
    """
    word = "a" if model.source_vocabulary.text.unit == "char" else "a "
    for num_tokens in WARM_UP_TOKENS:
        line = word * num_tokens
        model.attention(line, model.translate([line], NUM_BEST)[0].translations[0])
