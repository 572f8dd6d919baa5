"""See README.md, or: python scripts/look.py --help"""
from theano_rnn.cli.main import script
raise SystemExit(script(__file__))
