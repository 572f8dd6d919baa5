"""See README.md, or: python scripts/export.py --help"""
from theano_rnn.cli.main import script
raise SystemExit(script(__file__))
