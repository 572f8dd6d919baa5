"""See README.md, or: python scripts/search.py --help"""
from theano_rnn.cli.main import script
raise SystemExit(script(__file__))
