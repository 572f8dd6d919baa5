"""What `--preset auto` chooses, that flags win, and that it is stored."""

import pytest
from tiny_runs import SIZES, Commands, log_of, sentences

from theano_rnn.cli.options import read_toml, recipes
from theano_rnn.learning.checkpoint import load
from theano_rnn.settings import presets
from theano_rnn.settings.network import ModelConfig
from theano_rnn.settings.presets import MIN_UPDATES, chosen_settings, without_optimizer
from theano_rnn.settings.training import TrainingConfig

MODEL = "model.safetensors"


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    return Commands(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("unit", ["word", "char"])
@pytest.mark.parametrize("num_tokens", [2, 600, 14_000, 60_000, 200_000, 800_000, 4_000_000, 30_000_000, 10**10])
def test_every_size_has_settings_that_are_valid_and_enough_updates(num_tokens, unit):
    settings = chosen_settings(num_tokens, unit)
    training = TrainingConfig(**{name: settings[name] for name in ("batch_size", "bptt_steps", "dropout", "epochs",
                                                                   "patience")})  # fmt: skip
    ModelConfig(embedding_size=settings["embedding_size"], hidden_size=settings["hidden_size"])
    updates = training.epochs * max(1, num_tokens // (training.batch_size * training.bptt_steps))
    assert updates >= MIN_UPDATES
    assert training.patience <= training.epochs or training.epochs < 3
    assert settings.get("validate_every", 1) <= updates


def test_the_novels_get_the_recipe_for_the_novels():
    chosen = chosen_settings(789_570, "word")
    recipe = {name.replace("-", "_"): value for name, value in read_toml(recipes()["austen"]).items()}
    del chosen["patience"]
    assert chosen == {name: recipe[name] for name in chosen}
    assert {"optimizer", "weight_decay"} & without_optimizer(chosen).keys() == set()


def stored(path=MODEL):
    settings = load(path).settings
    return settings["training"] | settings["model"]


@pytest.mark.slow
def test_named_settings_win_and_the_others_are_chosen_said_and_stored(commands):
    flags = [*SIZES, "--batch-size", "3", "--train", "text.txt", "--checkpoint", MODEL, "--max-seconds", "1e-9"]
    result = commands("train", *flags)
    assert result.status == 0, result.err
    chosen, settings = chosen_settings(324, "word"), stored()
    assert (settings["batch_size"], settings["hidden_size"]) == (3, 4)
    assert {settings[name] == chosen[name] for name in ("dropout", "epochs", "patience")} == {True}
    (line,) = [line for line in result.out.splitlines() if line.startswith("chosen for the size of the text:")]
    assert f"--epochs {chosen['epochs']}" in line and "--batch-size" not in line
    assert "a text this small can teach little" in result.out
    commands("train", *flags, "--preset", "none")
    assert stored()["epochs"] == TrainingConfig().epochs


@pytest.mark.slow
def test_a_run_is_resumed_with_what_was_chosen(commands, monkeypatch):
    commands("train", *SIZES, "--train", "text.txt", "--checkpoint", MODEL, "--max-seconds", "1e-9")
    before = stored()
    monkeypatch.setattr(presets, "WORDS", presets.WORDS[-1:])  # as a later version might choose
    commands("train", "--resume", "--checkpoint", MODEL, "--max-seconds", "1e-9")
    assert stored() == before


def test_a_network_to_begin_with_keeps_its_sizes(commands):
    commands.train(checkpoint="first.safetensors")
    result = commands("train", "--init-from", "first.safetensors", "--train", "text.txt", "--checkpoint", MODEL,
                      "--max-seconds", "1e-9")  # fmt: skip
    assert result.status == 0, result.err
    assert stored()["hidden_size"] == stored("first.safetensors")["hidden_size"]
    assert stored()["dropout"] == chosen_settings(324, "word")["dropout"]


@pytest.mark.slow
def test_sentences_keep_their_batches(commands):
    (commands.folder / "text.txt").write_text(" ".join(sentences(60)))
    commands("train", *SIZES, "--batching", "sentences", "--train", "text.txt", "--checkpoint", MODEL,
             "--max-seconds", "1e-9")  # fmt: skip
    assert stored()["batch_size"] == TrainingConfig().batch_size


@pytest.mark.slow
def test_of_hundreds_of_epochs_some_are_shown_and_all_are_logged(commands):
    flags = ["--epochs", "100", "--patience", "4"]
    result = commands("train", *SIZES, "--train", "text.txt", "--checkpoint", MODEL, *flags)
    assert result.status == 0, result.err
    shown = [int(line.split()[1].rstrip(":")) for line in result.out.splitlines() if line.startswith("epoch ")]
    logged = [record["epoch"] for record in log_of(MODEL) if "epoch" in record]
    assert shown == [epoch for epoch in logged if epoch % 2 == 0]
    assert logged == list(range(1, len(logged) + 1)) and len(logged) > 4


@pytest.mark.slow
def test_validations_within_an_epoch_are_shown_with_samples(commands):
    flags = [*SIZES, "--preset", "none", "--train", "text.txt", "--checkpoint", MODEL, "--batch-size", "4"]
    result = commands("train", *flags, "--bptt-steps", "20", "--epochs", "1", "--validate-every", "2")
    assert result.status == 0, result.err
    shown = [line.split(":")[0] for line in result.out.splitlines() if line.startswith("epoch ")]
    assert shown == ["epoch 0.4", "epoch 0.8", "epoch 1"]
    assert result.out.count("\n  | ") >= 3 * len(shown)
    result = commands("train", *flags, "--max-seconds", "1e-9")
    assert any(line.startswith("epoch 0") for line in result.out.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ("sgd", 10.0)),
        (["--dropout", "0.1", "--epochs", "1"], ("sgd", 10.0)),
        (["--cell", "gru"], ("adam", 0.003)),
        (["--learning-rate", "0.01"], ("adam", 0.01)),
        (["--optimizer", "rmsprop"], ("rmsprop", 0.001)),
        (["--batching", "sentences"], ("adam", 0.003)),
        (["--task", "fill"], ("adam", 0.003)),
    ],
)
def test_the_large_rate_of_sgd_is_only_for_the_network_that_it_suits(commands, flags, expected):
    (commands.folder / "text.txt").write_text(" ".join(sentences(600)))
    result = commands("train", *SIZES, *flags, "--train", "text.txt", "--checkpoint", MODEL, "--max-seconds", "1e-9")
    assert result.status == 0, result.err
    settings = stored()
    assert (settings["optimizer"], settings["learning_rate"]) == expected
