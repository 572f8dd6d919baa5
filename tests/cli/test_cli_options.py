"""Flags: made from the settings, exact, explained, and overriding a TOML file."""

import importlib

import pytest

from theano_rnn.cli import machine
from theano_rnn.cli.main import COMMANDS, command, main
from theano_rnn.cli.options import given_settings, read_toml, sections_from, settings_of
from theano_rnn.cli.run_settings import COMMON_SECTIONS, all_sections
from theano_rnn.cli.train import build
from theano_rnn.learning.optimizers import OPTIMIZERS
from theano_rnn.learning.schedules import SCHEDULES
from theano_rnn.nn.cells import CELLS
from theano_rnn.nn.cells.cell import RECURRENT_INITS
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.training import DEFAULT_LEARNING_RATE
from theano_rnn.tasks.registry import TASKS

SECTIONS = {**TASKS["next"].sections, **COMMON_SECTIONS}
PROMISED = [
    "train", "valid", "test", "column", "valid-fraction", "test-fraction", "unit", "sentences", "tokens", "lowercase",
    "vocab-size", "min-count", "batching", "batch-size", "bptt-steps", "cell", "embedding-size",
    "hidden-size", "num-layers", "residual", "recurrent-init", "tie-weights", "no-tie-weights", "head",
    "cutoffs", "dropout", "input-dropout", "layer-dropout", "output-dropout", "variational",
    "embedding-dropout", "recurrent-dropout", "activation-penalty", "temporal-penalty", "label-smoothing",
    "random-windows", "state-reset", "schedule", "schedule-steps", "warmup", "clip-value", "weight-decay",
    "average-decay", "patience", "optimizer", "learning-rate", "clip-norm", "epochs", "max-seconds", "threads", "seed",
    "checkpoint", "resume", "log", "task", "config", "engine", "device", "kernels", "num-devices", "coordinator",
    "num-processes", "process-id", "init-from", "add-words", "select", "curves", "no-curves", "tensorboard",
    "testing", "no-testing", "precision",
    "preset", "validate-every", "learning-rate-factor", "unfreeze-epochs",
    "label-column", "bidirectional", "no-bidirectional", "pooling", "class-weights",
    "source-column", "target-column", "max-tokens-in-pair", "attention", "shared-embedding", "subword-model",
    "vocab-from",
    "lexicon", "label-unit", "keep-stress", "features", "sample-rate", "window-ms", "shift-ms", "bands", "low-hz",
    "high-hz", "coefficients", "preemphasis", "noise-floor", "deltas", "stacking", "normalization", "tempo", "warp",
    "noise", "time-masks", "max-masked-frames", "band-masks", "max-masked-bands", "max-frames",
    "images", "image-features", "image-size", "max-caption-tokens", "channels", "attention-penalty", "image-shift",
]  # fmt: skip


def parser_of(name):
    return importlib.import_module(f"theano_rnn.cli.{name}").build(f"theano-rnn {name}")


def given(*arguments):
    return given_settings(build("train").parse_args(arguments), SECTIONS.values(), others=("task",))


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "run.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_has_a_help_text_of_its_own(name):
    texts = [action.help for action in parser_of(name)._actions]
    assert all(text and text.strip() for text in texts)
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_flag_and_ends_with_0(name, capsys):
    assert command(name, ["--help-all" if name == "train" else "--help"], prog="x") == 0
    out, err = capsys.readouterr()
    assert not err
    for action in parser_of(name)._actions:
        assert all(flag in out for flag in action.option_strings)


def test_train_has_exactly_the_promised_flags():
    flags = {flag for action in parser_of("train")._actions for flag in action.option_strings}
    assert flags == {f"--{name}" for name in PROMISED} | {"-h", "--help", "--help-all"}


def test_help_shows_the_flags_that_most_people_need_and_help_all_shows_all(capsys):
    shown = {}
    for flag in ("--help", "--help-all", "--help"):
        assert command("train", [flag], prog="x") == 0
        shown[flag] = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  --")}
    assert {"--train", "--hidden-size", "--epochs", "--resume", "--help-all"} <= shown["--help"] < shown["--help-all"]
    assert 15 < len(shown["--help"]) < 25 < 50 < len(shown["--help-all"])


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["mybook.txt"], "--train mybook.txt"),
        (["no/such.txt"], "--train no/such.txt"),
        (["--hidden", "5"], "--hidden-size"),
        (["--hidden_size", "5"], "--hidden-size"),
        (["--hidden_size=5"], "--hidden-size"),
        (["--gpu"], "--device gpu"),
        (["--lr", "1"], "--learning-rate"),
        (["--epoch", "3"], "--epochs"),
        (["--chekpoint", "m"], "--checkpoint"),
        (["--batch", "3"], "--batch-size"),
    ],
)
def test_a_near_miss_is_answered_with_the_flag_that_was_meant(arguments, meant, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mybook.txt").write_text("A book.")
    assert command("train", arguments, prog="x") == 2
    assert capsys.readouterr().err == (
        f"x: unrecognized arguments: {' '.join(arguments)}: did you mean {meant}? (see x --help)\n"
    )


def test_a_text_that_is_no_flag_may_be_a_prompt(capsys):
    assert command("generate", ["m", "The sea"], prog="x") == 2
    assert 'did you mean --prompt "The sea"?' in capsys.readouterr().err


def test_without_a_guess_nothing_is_guessed(capsys):
    assert command("generate", ["m", "--xyzzy"], prog="x") == 2
    assert "did you mean" not in capsys.readouterr().err


def test_a_preset_is_a_recipe_that_a_file_and_flags_override(toml):
    recipe = given_settings(build("train").parse_args(["--config", "austen"]), SECTIONS.values(), others=("task",))
    assert recipe.pop("preset") == "austen"
    values = given("--preset", "austen", "--config", toml("epochs = 3\ndropout = 0.2"), "--epochs", "4")
    assert values == recipe | {"preset": "austen", "epochs": 4, "dropout": 0.2}
    with pytest.raises(UserError, match="--preset nothing: no such preset. It is one of auto, none, austen, "):
        given("--preset", "nothing")


def test_every_setting_is_a_flag_with_its_default_in_the_help(capsys):
    helps = {action.dest: action.help for action in build("train")._actions}
    for task in TASKS.values():
        for section in [*task.sections.values(), *COMMON_SECTIONS.values()]:
            for item in settings_of(section):
                assert item.name in helps
                if item.default not in (None, (), False):
                    default = "yes" if item.default is True else item.default
                    shown = helps[item.name].rpartition("(default: ")[2]
                    assert shown.startswith((f"{default})", f"{default};")) or f"; {task.name}: {default}" in shown


def test_every_name_that_can_be_chosen_exists():
    choices = {item.name: item.metadata["choices"] for _, s in all_sections() for item in settings_of(s)}
    assert set(choices["cell"]) == set(CELLS)
    assert set(choices["recurrent_init"]) == set(RECURRENT_INITS)
    assert set(choices["optimizer"]) == set(OPTIMIZERS) == set(DEFAULT_LEARNING_RATE)
    assert set(choices["schedule"]) == {"plateau", *SCHEDULES}


def test_a_flag_that_is_not_given_is_no_setting():
    assert given() == {}
    assert given("--hidden-size", "4", "--lowercase") == {"hidden_size": 4, "lowercase": True}


def test_several_numbers_make_one_list():
    assert given("--head", "adaptive", "--cutoffs", "5", "9") == {"head": "adaptive", "cutoffs": [5, 9]}
    assert sections_from(given("--head", "adaptive", "--cutoffs", "5", "9"), SECTIONS)["model"].cutoffs == (5, 9)


def test_several_training_files_make_one_list():
    assert given("--train", "a", "b", "--seed", "3") == {"train": ["a", "b"], "seed": 3}
    assert sections_from(given("--train", "a", "b"), SECTIONS)["corpus"].train == ("a", "b")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("train", ["--hidden", "4"]),
        ("train", ["--epoch", "4"]),
        ("train", ["--res"]),
        ("train", ["--nonsense"]),
        ("train", ["extra"]),
        ("train", ["--cell", "gated"]),
        ("train", ["--epochs", "2.5"]),
        ("train", ["--epochs"]),
        ("generate", ["--temp", "1"]),
        ("generate", ["a", "b"]),
        ("words", []),
        ("score", ["m", "--per-tok"]),
        ("score", ["m", "--summary", "--per-token"]),
        ("info", ["--nonsense"]),
    ],
)
def test_flags_that_are_not_exact_are_one_line_and_status_2(name, arguments, capsys):
    assert command(name, arguments, prog=f"theano-rnn {name}") == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith(f"theano-rnn {name}: ")
    assert err.endswith(f"(see theano-rnn {name} --help)\n")


@pytest.mark.parametrize("arguments", [[], ["fly"], ["--vers"], ["tra"]])
def test_an_unknown_command_is_one_line_and_status_2(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_flags_win_over_the_file(toml):
    path = toml('hidden-size = 4\nbatch_size = 7\n[training]\nlearning-rate = 1\n[x]\ntrain = ["a.txt"]\n')
    values = given("--config", path, "--batch-size", "9")
    assert values == {"hidden_size": 4, "batch_size": 9, "learning_rate": 1, "train": ["a.txt"]}
    assert sections_from(values, SECTIONS)["training"].batch_size == 9


@pytest.mark.parametrize("text", ["hiden_size = 4", "dtype = 'float64'", "config = 'a'", "[a.b]\nhidden-size = 1"])
def test_a_name_that_is_no_flag_is_refused(toml, text):
    with pytest.raises(UserError, match="is not a setting"):
        given("--config", toml(text))


@pytest.mark.parametrize("text", ["hidden-size 4", "\0", b"seed = 1 # \xe9", "seed = 1\nseed = 2", "x = " + "[" * 9999])
def test_a_file_that_is_not_toml_is_refused_in_one_line(toml, text):
    with pytest.raises(UserError, match="is not TOML") as caught:
        read_toml(toml(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden_size = '4'", "--hidden-size must be a whole number, got '4'"),
        ("hidden_size = true", "--hidden-size must be a whole number, got True"),
        ("train = 5", "--train must be a list of file names"),
        ("train = [1]", "--train must be a list of file names"),
        ("head = 'adaptive'\ncutoffs = 5", "--cutoffs must be a list of whole numbers, got 5"),
        ("head = 'adaptive'\ncutoffs = [5.5]", "--cutoffs must be a list of whole numbers"),
        ("cutoffs = [5]", "--cutoffs needs head adaptive"),
        ("learning_rate = nan", "--learning-rate must be a finite number"),
        ("unit = 'syllable'", "--unit must be one of word, char"),
        ("resume = 1", "--resume must be true or false"),
        ("seed = [1]", "--seed must be a whole number"),
        ("valid_fraction = 1.0", "--valid-fraction must be less than 1"),
    ],
)
def test_values_of_a_file_are_checked_as_flags_are(toml, text, message):
    with pytest.raises(UserError, match=message):
        sections_from(given("--config", toml(text)), SECTIONS)


@pytest.fixture
def asked(monkeypatch):
    """Numbers of threads that BLAS was told to use."""
    asked = []
    monkeypatch.setattr(machine, "set_threads", asked.append)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return asked


def prepare(threads):
    machine.prepare_machine(MachineConfig(engine="c", threads=threads))


def test_threads_are_those_asked_for_else_one_a_core(asked, monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    prepare(None)
    prepare(3)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(60)), raising=False)
    prepare(None)
    monkeypatch.delattr(machine.os, "sched_getaffinity")
    monkeypatch.setattr(machine.os, "cpu_count", lambda: None)
    prepare(None)
    assert asked == [6, 3, machine.MAX_THREADS, 1]


@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"])
def test_threads_of_the_environment_stay_unless_the_flag_says_otherwise(asked, monkeypatch, name):
    monkeypatch.setenv(name, "2")
    prepare(None)
    assert asked == []
    prepare(5)
    assert asked == [5]
