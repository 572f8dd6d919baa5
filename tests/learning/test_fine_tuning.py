"""Fine-tuning: slower or later training of what came from another model, in the update and from the command."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ENGINES
from tiny_runs import SIZES, TINY, Commands, sentences

from theano_rnn.learning.checkpoint import load, values_of
from theano_rnn.learning.fine_tuning import factors_of_epoch
from theano_rnn.model import RNNLM
from theano_rnn.settings.base import UserError
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.training import TrainingConfig

NAMES = ["embedding", "forward0.W_hh", "backward0.W_hh", "forward1.W_hh", "backward1.b_h", "W_he"]


def factors(names, epoch, factor=1.0, unfreeze=1):
    return factors_of_epoch(names, epoch, learning_rate_factor=factor, unfreeze_epochs=unfreeze)


@pytest.mark.parametrize("epoch", range(6))
def test_layers_are_unfrozen_from_the_output_down(epoch):
    found = factors(NAMES, epoch, factor=0.5)
    first = {"W_he": 1, "forward1.W_hh": 2, "backward1.b_h": 2, "forward0.W_hh": 3, "backward0.W_hh": 3, "embedding": 4}
    assert found == {name: 0.5 if epoch >= first[name] else 0.0 for name in NAMES}


def test_names_of_language_and_fill_in_models_have_the_same_levels():
    names = ["embedding", "layer0.W_hh", "forward.layer1.W_hh"]
    assert factors(names, 1) == {"embedding": 0.0, "layer0.W_hh": 0.0, "forward.layer1.W_hh": 1.0}
    assert factors(names, 0, unfreeze=0) == dict.fromkeys(names, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "nesterov"])
def test_a_factor_scales_the_step_of_its_parameter_alone(optimizer):
    config = ModelConfig(vocab_size=7, embedding_size=3, hidden_size=4, cell="tanh", tie_weights=False, dtype="float64")
    tokens, targets = np.array([[2, 3]] * 4, "int32"), np.array([[3, 2]] * 4, "int32")
    mask = np.ones((4, 2))
    steps = {}
    for factor in (None, 0.25, 0.0):
        model = RNNLM(config, rng=np.random.default_rng(1))
        if factor is not None:
            model.scale_rates(["embedding", "layer0.W_hh"])
            for variable in model.rate_factors.values():
                variable.set_value(np.asarray(factor))
        before = values_of(model.params)
        train = model.compile("train", engine=ENGINES[-1], optimizer=optimizer, average_decay=0.9).train
        train(tokens, targets, mask, *model.initial_state(2), np.float64(0.1))
        steps[factor] = {name: value - before[name] for name, value in values_of(model.params).items()}
        averages = values_of(model.averages)
        assert averages["layer0.W_hh"] == pytest.approx(before["layer0.W_hh"] + 0.1 * steps[factor]["layer0.W_hh"])
    for name, step in steps[None].items():
        is_scaled = name in ("embedding", "layer0.W_hh")
        assert np.abs(step).max() > 1e-6
        assert steps[0.25][name] == pytest.approx((0.25 if is_scaled else 1) * step, abs=1e-12)
        if is_scaled:
            assert not steps[0.0][name].any()


def test_asgd_has_an_average_of_its_own():
    with pytest.raises(UserError, match="--learning-rate-factor or --unfreeze-epochs: use another optimizer"):
        TrainingConfig(optimizer="asgd", unfreeze_epochs=1)


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    found = Commands(tmp_path, monkeypatch, capsys)
    Path("text.txt").write_text(" ".join(sentences(40)))
    Path("labelled.txt").write_text("".join(f"{text.split()[0]}\t{text}\n" for text in sentences(60)))
    assert found("train", *TINY, "--checkpoint", "lm.safetensors").status == 0
    return found


def tune(commands, *flags, checkpoint="tuned.safetensors"):
    result = commands("train", "--task", "classify", "--train", "labelled.txt", "--init-from", "lm.safetensors",
                      "--preset", "none", "--batch-size", "16", "--checkpoint", checkpoint, *flags)  # fmt: skip
    assert result.status == 0, result.err
    return result


@pytest.mark.slow
def test_a_classifier_starts_from_a_language_model_and_keeps_it_at_first(commands):
    result = tune(commands, "--unfreeze-epochs", "1", "--epochs", "1", "--average-decay", "0")
    assert "from lm.safetensors: embedding, layer0; new: " in result.out
    before, after = load("lm.safetensors").best, load("tuned.safetensors", resume=True).last
    settings = load("tuned.safetensors").settings
    assert settings["model"]["bidirectional"] is False and settings["model"]["hidden_size"] == int(SIZES[-1])
    assert set(settings["training"]["taken"]) == {name for name in before if name in after and name != "b_y"}
    for name in settings["training"]["taken"]:
        assert np.array_equal(before[name], after[name])
    assert after["b_y"].any()
    tune(commands, "--unfreeze-epochs", "1", "--epochs", "2", "--average-decay", "0")
    after = load("tuned.safetensors", resume=True).last
    assert np.array_equal(before["embedding"], after["embedding"])
    assert not np.array_equal(before["layer0.W_hh"], after["layer0.W_hh"])


@pytest.mark.slow
def test_fine_tuning_is_resumed_to_the_byte(commands):
    flags = ["--unfreeze-epochs", "1", "--learning-rate-factor", "0.5", "--epochs", "3", "--bidirectional"]
    flags += ["--select", "loss"]  # which falls, so that no validation when the time is out is the best
    result = tune(commands, *flags, checkpoint="whole.safetensors")
    assert "new: backward0" in result.out
    tune(commands, *flags, "--max-seconds", "1e-9", checkpoint="cut.safetensors")
    for _ in range(8):
        result = commands("train", "--resume", "--checkpoint", "cut.safetensors", "--max-seconds", "1e-9")
        assert result.status == 0, result.err
    result = commands("train", "--resume", "--checkpoint", "cut.safetensors")
    assert result.status == 0, result.err
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
