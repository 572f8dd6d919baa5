"""Engines: what turns a symbolic graph into something that runs. Nothing else in the package knows how."""

from theano_rnn.engine.c import CompileProgress, compile_function

__all__ = ["CompileProgress", "compile_function"]
