"""Recurrent neural networks for language as Aesara symbolic graphs."""

from theano_rnn.engine.aesara_flags import prepare as _prepare

__version__ = "0.2.0"

_prepare()  # before anything imports aesara, which fails without it
