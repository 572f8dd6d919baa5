"""The commands of the missing word, each in a process of its own on engine jax: train, resume, fill."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import SIZES, log_of, sentences

from theano_rnn.learning.checkpoint import load

pytest.importorskip("jax")

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "AESARA_FLAGS"} | {"PYTHONPATH": str(ROOT)}
ARGUMENTS = ["--task", "fill", *SIZES, "--batch-size", "8", "--epochs", "3", "--learning-rate", "0.05",
             "--train", "text.txt", "--dropout", "0.1", "--cell", "gru"]  # fmt: skip


def run(folder, name, *arguments, text=None):
    line = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments, "--engine", "jax", "--device", "cpu"]
    return subprocess.run(line, cwd=folder, env=ENVIRONMENT, input=text, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A whole run, and one cut short after its first step and resumed."""
    folder = tmp_path_factory.mktemp("fill")
    (folder / "text.txt").write_text(" ".join([*sentences(200), *["Emma met Mr. ____ in ____ again."] * 9]))
    train = ["train", *ARGUMENTS, "--checkpoint"]
    for arguments in (
        [*train, "whole.safetensors"],
        [*train, "cut.safetensors", "--max-seconds", "1e-6"],
        ["train", "--resume", "--checkpoint", "cut.safetensors"],
    ):
        done = run(folder, *arguments)
        assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
        (folder / "said.txt").write_text(done.stdout + done.stderr)
    return folder


def test_a_run_cut_short_and_resumed_ends_with_the_same_bytes(folder):
    assert (folder / "cut.safetensors").read_bytes() == (folder / "whole.safetensors").read_bytes()
    assert log_of(folder / "cut.safetensors") == log_of(folder / "whole.safetensors")
    checkpoint = load(folder / "whole.safetensors")
    assert checkpoint.kind == "fill-in model"
    assert checkpoint.settings["training"]["batching"] == "sentences"


def test_examples_are_shown_after_each_epoch(folder):
    shown = [line for line in (folder / "said.txt").read_text().splitlines() if line.startswith("  | ")]
    assert len(shown) == 3 * 3  # of the resumed run: three epochs
    assert all("___" in line and line.endswith(")") for line in shown)


def test_each_blank_has_its_likeliest_words_one_a_line(folder):
    text = "Emma saw the ___. Anne left the ball.\n\n ___ met the ball.\n"
    done = run(folder, "fill", "whole.safetensors", "--num-words", "3", text=text)
    assert done.returncode == 0, done.stderr
    blanks = [[line.split("\t") for line in blank.splitlines()] for blank in done.stdout.rstrip("\n").split("\n\n")]
    assert [len(blank) for blank in blanks] == [3, 3]
    for blank in blanks:
        p = [float(number) for number, _ in blank]
        assert sorted(p, reverse=True) == p and 0 < sum(p) <= 1
    assert {word for _, word in blanks[0]} <= {"house", "garden", "letter", "ball"}
    assert {word for _, word in blanks[1]} == {"Emma", "Jane", "Anne"}


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (["fill", "whole.safetensors"], "Emma saw the house.\n", "no blank in 'Emma saw the house.'"),
        (["fill", "whole.safetensors"], "", "standard input is empty"),
        (["fill", "whole.safetensors", "nothing.txt"], None, "cannot find nothing.txt"),
        (["fill", "nothing.safetensors"], "a ___", "cannot find the model"),
        (["fill", "whole.safetensors", "--num-words", "0"], "a ___", "--num-words must be at least 1"),
        (["score", "whole.safetensors", "text.txt"], None, "is a fill-in model, but a language model is needed"),
        (["generate", "whole.safetensors"], None, "is a fill-in model, but a language model is needed"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(folder, arguments, text, message):
    done = run(folder, *arguments, text=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and done.stderr.count("\n") == 1
