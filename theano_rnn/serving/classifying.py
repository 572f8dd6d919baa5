"""Labelling texts for the web page and the JSON interface of ``serve``, with plain values in and out.

A model's compiled functions must not be called by two threads at once, so one thread answers all requests, one after
the other. It takes some milliseconds for a text, if the text is not long.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from theano_rnn.classifier import Classifier
from theano_rnn.serving.request_batching import QueueFullError
from theano_rnn.settings.base import UserError
from theano_rnn.text.whole_texts import pieces_of_text
from theano_rnn.view.explanation_page import label_probabilities, piece_records

LIMITS = {
    "characters": 10_000,  # of a text
    "tokens": 2_000,  # of a text
}
MAX_WAITING = 64  # requests
WARM_UP_TOKENS = (4, 20, 50, 100)  # of texts whose shapes are compiled before the first request


class OneThread:
    """Runs functions one after the other in a thread of its own.

    >>> thread = OneThread()
    >>> thread.submit(len, "abc").result()
    3
    >>> thread.close()
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self.max_waiting, self.num_waiting = max_waiting, 0
        self.lock = threading.Lock()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="classifier")

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Returns the future result of a call. It does not start if the future is cancelled before.

        Raises
        ------
        QueueFullError
            Too many calls are waiting.
        """
        with self.lock:
            if self.num_waiting >= self.max_waiting:
                raise QueueFullError(f"{self.num_waiting} requests are waiting")
            self.num_waiting += 1
        try:
            future = self.thread.submit(function, *arguments)
        except BaseException:
            self.end()
            raise
        future.add_done_callback(self.end)
        return future

    def end(self, _: Any = None) -> None:
        with self.lock:
            self.num_waiting -= 1

    def close(self) -> None:
        """Cancel the calls that wait, and stop the thread after the current one."""
        self.thread.shutdown(cancel_futures=True)


class ServedClassifier:
    """A classifier as the page and the JSON interface use it.

    Parameters
    ----------
    model
    name
        The name that is shown for it.
    """

    def __init__(self, model: Classifier, name: str) -> None:
        self.model = model
        self.name = name.encode("utf-8", "replace").decode()  # names of files need not be UTF-8, answers must

    def about(self) -> dict[str, Any]:
        """Name, kind, labels, sizes and limits."""
        config = self.model.model.config
        return {
            "name": self.name,
            "kind": self.model.task.kind,
            "labels": self.model.labels,
            "temperature": self.model.temperature,
            "unit": self.model.vocabulary.text.unit,
            "cell": config.cell,
            "num_layers": config.num_layers,
            "hidden_size": config.hidden_size,
            "vocab_size": config.vocab_size,
            "parameters": sum(int(p.get_value().size) for p in self.model.model.params.values()),
            "limits": LIMITS,
        }

    def answer(self, text: str, label: str | None = None) -> dict[str, Any]:
        """Returns the probabilities of all labels, and the tokens with what each adds to a label.

        By default it is the likeliest label. A blank text has no label and no tokens.

        Raises
        ------
        UserError
            The text has too many tokens, or the model does not have this label.
        """
        model = self.model
        if label is not None and label not in model.labels:
            raise UserError(model.unknown_label(label))
        num_tokens = len(pieces_of_text(text, model.vocabulary))
        if num_tokens > LIMITS["tokens"]:
            raise UserError(f"the text must have at most {LIMITS['tokens']:,} tokens, got {num_tokens:,}")
        if not num_tokens:
            return {"label": None, "probabilities": [], "explained": None, "pieces": []}
        found = model.explain(text, label, with_removals=False)
        return {
            "label": found.result.label,
            "probabilities": label_probabilities(model.labels, found.result.probabilities, most=len(model.labels)),
            "explained": found.label,
            "pieces": piece_records(found.pieces, found.contributions, None, unk_id=model.vocabulary.unk_id),
        }


def warm_up(model: Classifier) -> None:
    """Explain short texts, so that XLA compiles their shapes before the first request.

    Raises
    ------
    UserError
        The model's outputs are not finite numbers.
    """
    word = "a" if model.vocabulary.text.unit == "char" else "a "
    for num_tokens in WARM_UP_TOKENS:
        model.explain(word * num_tokens, with_removals=False)
