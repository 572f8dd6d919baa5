"""Parameters that one kind of network begins with, taken from another."""

import numpy as np
import pytest

from theano_rnn.learning.parameter_transfer import list_layers, transfer_parameters
from theano_rnn.model import RNNLM
from theano_rnn.nn.encoder import Encoder
from theano_rnn.settings.network import ModelConfig
from theano_rnn.tasks.cloze import Cloze


def values(params):
    return {name: np.array(p.get_value()) for name, p in params.items()}


def model_of(kind, seed, **settings):
    config = ModelConfig(**{"vocab_size": 9, "embedding_size": 3, "hidden_size": 4, "head": "softmax"} | settings)
    return values(kind(config, rng=np.random.default_rng(seed)).params)


def encoder(levels=1):
    return values(Encoder("lstm", 3, 4, levels, rng=np.random.default_rng(9), dtype="float32").params)


@pytest.mark.parametrize(
    ("origin", "stacks"),
    [(RNNLM, {"forward0": "layer0"}), (Cloze, {"forward0": "forward.layer0", "backward0": "backward.layer0"})],
)
def test_stacks_become_levels_of_an_encoder(origin, stacks):
    old, fresh = model_of(origin, 1, num_layers=2), encoder(2)
    got, taken, new = transfer_parameters(old, fresh)
    levels = {**stacks, **{level.replace("0", "1"): stack.replace("0", "1") for level, stack in stacks.items()}}
    for name, value in fresh.items():
        level, _, role = name.partition(".")
        fits = level in levels and not (level.endswith("1") and role == "W_xh")  # it reads both directions
        assert (name in taken, name in new) == (fits, not fits)
        np.testing.assert_array_equal(got[name], old[f"{levels[level]}.{role}"] if fits else value)


def test_a_language_model_begins_with_the_forward_stack_of_a_fill_in_model_and_back():
    lm, fill = model_of(RNNLM, 1), model_of(Cloze, 2)
    got, taken, new = transfer_parameters(fill, lm)
    assert list_layers(new) == "" and "layer0.W_hh" in taken
    np.testing.assert_array_equal(got["layer0.W_hh"], fill["forward.layer0.W_hh"])
    _, taken, new = transfer_parameters(lm, fill)
    assert list_layers(taken) == "embedding, forward.layer0, W_he, b_y"
    assert list_layers(new) == "backward.layer0, W_join, b_join"


def test_what_has_another_shape_is_new():
    _, taken, new = transfer_parameters(model_of(RNNLM, 1), model_of(RNNLM, 2, hidden_size=5))
    assert (list_layers(taken), list_layers(new)) == ("embedding, b_y", "layer0, W_he")


def test_a_vocabulary_may_grow_by_as_many_words_as_are_said():
    old, fresh = model_of(RNNLM, 1), model_of(RNNLM, 2, vocab_size=11)
    got, _, new = transfer_parameters(old, fresh, num_new_words=2)
    assert not new
    np.testing.assert_array_equal(got["embedding"][:9], old["embedding"][:9])
    np.testing.assert_array_equal(got["embedding"][9:11], fresh["embedding"][9:11])
    assert transfer_parameters(old, fresh, num_new_words=1).new == ["embedding", "b_y"]
