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
    lm_weight
        The weight of the language model, if the translator has one; by default 0.1.
    """

    def __init__(self, model: Translator, name: str, lm_weight: float | None = None) -> None:
        self.model, self.lm_weight = model, lm_weight
        self.name = name.encode("utf-8", "replace").decode()  # names of files need not be UTF-8, answers must

    def about(self) -> dict[str, Any]:
        """Name, kind, sizes and limits. The number of parameters is that of all models that search together."""
        config, ensemble = self.model.model.config, self.model.ensemble
        models = [member.model for member in ensemble.members]
        if ensemble.language_model is not None:
            models.append(ensemble.language_model.model)
        return {
            "name": self.name,
            "kind": self.model.task.kind,
            "unit": self.model.vocabulary.text.unit,
            "cell": config.cell,
            "num_layers": config.num_layers,
            "hidden_size": config.hidden_size,
            "source_vocab_size": config.source_vocab_size,
            "vocab_size": config.vocab_size,
            "num_translators": len(ensemble.members),
            "has_language_model": ensemble.language_model is not None,
            "parameters": sum(int(p.get_value().size) for model in models for p in model.params.values()),
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
        found = self.model.translate(lines, NUM_BEST, lm_weight=self.lm_weight)
        return {"lines": list(map(self.line, found))}

    def line(self, found: Translated) -> dict[str, Any]:
        """Returns a line with its translations as plain values."""
        translations = [{"text": each.text, "log_probability": round(each.log_probability, 6),
                         "lm_log_probability": rounded(each.lm_log_probability), "score": round(each.score, 6)}
                        for each in found.translations]  # fmt: skip
        attention = None
        if found.translations:
            attention = attention_record(self.model.attention(found.source, found.translations[0]))
        return {"source": found.source, "translations": translations, "attention": attention,
                "num_unknown": found.num_unknown}  # fmt: skip


def rounded(value: float | None) -> float | None:
    """Returns a number as an answer has it, None as it is."""
    return None if value is None else round(value, 6)


def warm_up(model: Translator, *, lm_weight: float | None = None) -> None:
    """Translate short lines, so that XLA compiles their shapes before the first request.

    `lm_weight` is that of the requests.

    Raises
    ------
    UserError
        The model's outputs are not finite numbers.
    """
    word = "a" if model.source_vocabulary.text.unit == "char" else "a "
    for num_tokens in WARM_UP_TOKENS:
        line = word * num_tokens
        model.attention(line, model.translate([line], NUM_BEST, lm_weight=lm_weight)[0].translations[0])
