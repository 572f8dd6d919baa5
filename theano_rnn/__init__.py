"""Recurrent neural networks for language as Aesara symbolic graphs."""

from typing import TYPE_CHECKING, Any

from theano_rnn.engine.aesara_flags import prepare as _prepare

if TYPE_CHECKING:
    from theano_rnn.api import Captioner as Captioner
    from theano_rnn.api import Classifier as Classifier
    from theano_rnn.api import LanguageModel as LanguageModel
    from theano_rnn.api import Recognizer as Recognizer
    from theano_rnn.api import Translator as Translator
    from theano_rnn.api import train as train

__version__ = "0.2.0"

_prepare()  # before anything imports aesara, which fails without it


def __getattr__(name: str) -> Any:
    """Import what the package offers on first use, because commands such as ``--help`` must not wait for it."""
    if name in ("Captioner", "Classifier", "LanguageModel", "Recognizer", "Translator", "train"):
        from theano_rnn import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
