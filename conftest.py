"""Modules that import an extra at once are not searched for doctests where it is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("fastapi") else ["theano_rnn/serving/web.py"]
