"""``python -m theano_rnn COMMAND`` does what ``theano-rnn COMMAND`` does."""

from theano_rnn.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(prog="python -m theano_rnn"))
