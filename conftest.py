"""Modules that need an extra are not searched for doctests where it is not installed."""

from importlib.util import find_spec

NEEDS = {
    "theano_rnn/cli/search_reports.py": "optuna",
    "theano_rnn/cli/trial_runs.py": "optuna",
    "theano_rnn/search/study.py": "optuna",
    "theano_rnn/serving/connections.py": "uvicorn",
    "theano_rnn/serving/web.py": "fastapi",
    "theano_rnn/serving/web_captioner.py": "fastapi",
    "theano_rnn/serving/web_classifier.py": "fastapi",
    "theano_rnn/serving/web_common.py": "fastapi",
    "theano_rnn/serving/web_recognizer.py": "fastapi",
    "theano_rnn/serving/web_translator.py": "fastapi",
    "theano_rnn/text/subwords.py": "tokenizers",
}

collect_ignore = [path for path, extra in NEEDS.items() if not find_spec(extra)]
