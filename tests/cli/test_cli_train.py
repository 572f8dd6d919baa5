"""train: from text to a checkpoint and a log, end to end on a tiny text."""

import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_runs import TINY, Commands, contents, log_of, sentences

from theano_rnn.cli import session
from theano_rnn.cli.records import restore_log
from theano_rnn.learning.atomic_files import lock
from theano_rnn.learning.checkpoint import load
from theano_rnn.learning.measures import perplexity
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import CorpusConfig
from theano_rnn.tasks.registry import TASKS

ROOT = Path(__file__).parents[2]
MODEL, LOG = "model.safetensors", "model.jsonl"
EPOCH_FIELDS = ["epoch", "step", "train_loss", "valid_loss", "valid_perplexity", "learning_rate",
                "tokens_per_second", "seconds", "kernels"]  # fmt: skip
TEST_FIELDS = ["test_loss", "test_perplexity", "tokens", "unk_rate"]
STEPS = 5  # of an epoch: 324 tokens in 4 columns by 20


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    return Commands(tmp_path, monkeypatch, capsys)


def records(path=LOG):
    with open(path) as file:
        return [json.loads(line) for line in file]


def test_a_run_leaves_a_checkpoint_and_a_log_with_the_promised_fields(commands):
    result = commands.train()
    assert sorted(contents(commands.folder)) == [LOG, MODEL, "text.txt"]
    *epochs, last = records()
    assert [list(record) for record in epochs] == [EPOCH_FIELDS] * 2
    assert [(record["epoch"], record["step"]) for record in epochs] == [(1, STEPS), (2, 2 * STEPS)]
    for record in epochs:
        assert record["valid_perplexity"] == perplexity(record["valid_loss"])
    assert set(TEST_FIELDS) <= set(last)
    assert last["test_perplexity"] == perplexity(last["test_loss"])
    assert last["tokens"] == 18
    assert not result.err
    progress = load(MODEL, resume=True).progress
    assert progress["is_finished"]
    assert progress["records"] == log_of(MODEL)


def test_without_testing_the_test_part_is_not_measured(commands):
    tested = commands.train()
    untested = commands.train("--no-testing", checkpoint="untested.safetensors")
    assert "\ntest: " in tested.out
    assert "\ntest: " not in untested.out
    *epochs, last = log_of("untested.safetensors")
    assert last == {"step": last["step"], "best_step": last["best_step"]}
    assert epochs == log_of(MODEL)[:-1]


def test_what_a_run_says_is_plain_lines(commands):
    lines = commands.train().out.splitlines()
    assert lines[0].startswith("324 / 18 / 18 tokens to train / validate / test on, 19 words in the vocabulary")
    assert lines[1].startswith("step 1, loss 2.9") and lines[1].endswith("tokens/s")
    assert [line.startswith("epoch ") for line in lines[2:10]] == [True, False, False, False] * 2
    assert [line.startswith("  | ") for line in lines[2:10]] == [False, True, True, True] * 2
    assert lines[-2].startswith("test: ")
    assert lines[-1].startswith(f"saved {MODEL} (best after step {2 * STEPS}, validation perplexity ")


def test_equal_runs_write_equal_bytes(commands):
    commands.train(checkpoint="a.safetensors")
    commands.train(checkpoint="b/c/b.safetensors")
    assert (commands.folder / "a.safetensors").read_bytes() == (commands.folder / "b/c/b.safetensors").read_bytes()
    assert log_of("a.safetensors") == log_of("b/c/b.safetensors")


@pytest.mark.slow
def test_another_seed_is_another_run(commands):
    commands.train(checkpoint="a.safetensors")
    commands.train("--seed", "2", checkpoint="b.safetensors")
    assert log_of("a.safetensors")[0]["train_loss"] != log_of("b.safetensors")[0]["train_loss"]


@pytest.mark.slow
def test_the_first_loss_is_that_of_knowing_nothing(commands):
    commands.train("--epochs", "1", "--bptt-steps", "1000", "--learning-rate", "1e-9")
    assert records()[0]["train_loss"] == pytest.approx(np.log(19), rel=1e-3)


def test_ctrl_c_finishes_the_step_and_saves(commands, monkeypatch):
    commands.train(checkpoint="whole.safetensors")
    on_step = session.Session.on_step

    def interrupted(self, progress, *rest):
        on_step(self, progress, *rest)
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(session.Session, "on_step", interrupted)
    result = commands("train", *TINY, "--checkpoint", MODEL)
    assert (result.status, result.err) == (130, "")
    assert f"stopped after 3 steps, in epoch 1 of 2; to continue, use --resume --checkpoint {MODEL}" in result.out
    assert load(MODEL, resume=True).progress["step"] == 3
    assert commands("train", "--resume", "--checkpoint", MODEL).status == 0
    assert (commands.folder / MODEL).read_bytes() == (commands.folder / "whole.safetensors").read_bytes()


@pytest.mark.slow
def test_new_runs_keep_every_older_one_with_a_number(commands):
    before = []
    for seed in (1, 2, 3):
        result = commands.train("--seed", str(seed))
        before.append((Path(MODEL).read_bytes(), Path(LOG).read_bytes()))
    assert "kept the older checkpoint as model.2.safetensors" in result.out
    for number in (1, 2):
        kept = Path(f"model.{number}.safetensors"), Path(f"model.{number}.jsonl")
        assert tuple(path.read_bytes() for path in kept) == before[number - 1]
    assert commands("generate", "model.1.safetensors", "--num-samples", "1").status == 0
    result = commands("train", "--resume", "--checkpoint", "model.2.safetensors")
    assert result.status == 0 and "nothing left to do" in result.out


def test_older_ones_of_any_name_are_kept_and_no_number_is_used_twice(commands):
    Path("model.7.jsonl").write_text("mine")
    Path("model.1.safetensors").write_text("mine")
    Path(MODEL).write_text("not a checkpoint")
    commands.train("--max-seconds", "1e-9", "--log", "logs/run.log")
    assert Path("model.8.safetensors").read_text() == "not a checkpoint"
    commands.train("--max-seconds", "1e-9", "--log", "logs/run.log")
    assert Path("model.9.safetensors").exists() and Path("logs/run.9.log").exists()
    assert [Path(name).read_text() for name in ("model.7.jsonl", "model.1.safetensors")] == ["mine", "mine"]


def test_a_run_without_a_step_is_not_kept(commands, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "fit", stopped)
    for _ in range(2):
        assert commands("train", *TINY, "--checkpoint", MODEL).status == 130
    assert sorted(contents(commands.folder)) == [LOG, MODEL, "text.txt"]


def test_names_without_an_ending_have_logs_of_their_own(commands):
    for name in ("fold.1", "fold.2"):
        commands.train("--max-seconds", "1e-9", checkpoint=name)
    assert sorted(contents(commands.folder)) == ["fold.1", "fold.1.jsonl", "fold.2", "fold.2.jsonl", "text.txt"]
    commands.train("--max-seconds", "1e-9", checkpoint="fold.2")
    assert Path("fold.2.1").exists() and Path("fold.2.1.jsonl").exists()
    result = commands("train", *TINY, "--checkpoint", "fold.1.safetensors")
    assert result.status == 2
    assert "fold.1.safetensors and fold.1 would have the same log, fold.1.jsonl" in result.err


@pytest.mark.slow
def test_a_link_stays_a_link(commands):
    Path("disk").mkdir()
    Path(MODEL).symlink_to("disk/big.safetensors")
    commands.train("--max-seconds", "1e-9")
    first = Path("disk/big.safetensors").read_bytes()
    commands.train("--max-seconds", "1e-9", "--seed", "2")
    assert Path(MODEL).is_symlink() and Path("disk/big.1.safetensors").read_bytes() == first
    assert load(MODEL).settings["training"]["seed"] == 2
    assert sorted(contents(Path("disk"))) == ["big.1.safetensors", "big.safetensors"]


@pytest.mark.parametrize("arguments", [TINY, ["--resume"]])
def test_a_second_process_on_a_checkpoint_is_refused(commands, arguments):
    commands.train("--max-seconds", "1e-9")
    before = contents(commands.folder)
    with lock(MODEL):
        result = commands("train", *arguments, "--checkpoint", MODEL)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert f"{MODEL} is in use: process {os.getpid()} on " in result.err
    assert contents(commands.folder) == before
    assert commands("train", *arguments, "--checkpoint", MODEL).status == 0


def test_the_lock_of_a_killed_process_does_not_remain(commands):
    code = (
        "import os, signal\nfrom theano_rnn.learning.atomic_files import lock\n"
        f"with lock('{MODEL}'):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    result = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert result.returncode == -signal.SIGKILL
    assert Path(f"{MODEL}.lock").exists()
    Path(f"{MODEL}.0123abcd.unfinished").write_text("cut off")
    commands.train("--max-seconds", "1e-9")
    assert sorted(contents(commands.folder)) == [LOG, MODEL, "text.txt"]


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_more_epochs_when_resumed_are_the_same_as_from_the_start(commands, schedule):
    flags = ["--schedule", schedule, "--learning-rate", "0.01"]
    commands.train(*flags, "--epochs", "3", checkpoint="whole.safetensors")
    commands.train(*flags, "--epochs", "1")
    result = commands("train", "--resume", "--checkpoint", MODEL)
    assert "is finished: nothing left to do. To train it further, add --epochs with more than 1" in result.out
    assert commands("train", "--resume", "--checkpoint", MODEL, "--epochs", "3").status == 0
    assert Path(MODEL).read_bytes() == Path("whole.safetensors").read_bytes()
    assert log_of(MODEL) == log_of("whole.safetensors")
    result = commands("train", "--resume", "--checkpoint", MODEL, "--epochs", "2")
    assert (result.status, result.err.count("\n")) == (2, 1) and "--epochs 2 conflicts" in result.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--epochs 5 conflicts with model.safetensors: its --schedule linear changes"),
        (["--schedule", "constant", "--warmup", "0.1"], "its --schedule constant changes the learning rate over"),
        (["--schedule", "plateau", "--learning-rate", "1e-30", "--patience", "1"], "stopped early after 2 epochs"),
    ],
)
def test_more_epochs_that_cannot_be_are_explained(commands, flags, message):
    commands.train(*flags)
    before = contents(commands.folder)
    result = commands("train", "--resume", "--checkpoint", MODEL, "--epochs", "5")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
    assert f"--init-from {MODEL} --checkpoint NEW.safetensors --epochs 3" in result.err
    assert contents(commands.folder) == before
    assert commands.train("--init-from", MODEL, checkpoint="new.safetensors").status == 0


def test_a_run_resumed_in_another_folder_asks_for_its_text(commands, monkeypatch):
    commands.train(checkpoint="whole.safetensors")
    commands.train("--max-seconds", "1e-9")
    Path("other").mkdir()
    monkeypatch.chdir("other")
    result = commands("train", "--resume", "--checkpoint", f"../{MODEL}")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert "cannot find text.txt" in result.err and "name its new place: --resume --train NEWPLACE" in result.err
    assert commands("train", "--resume", "--checkpoint", f"../{MODEL}", "--train", "../text.txt").status == 0
    assert load(f"../{MODEL}").best["b_y"].tobytes() == load("../whole.safetensors").best["b_y"].tobytes()


def test_a_run_on_standard_input_says_so_when_resumed(commands, monkeypatch):
    def stdin(text, is_terminal=False):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text), isatty=lambda: is_terminal))

    text = Path("text.txt").read_bytes()
    for number in (1, 2):
        stdin(text)
        commands.train("--train", "-", "--max-seconds", "1e-9", checkpoint=f"{number}.safetensors")
    advice = "give the same text again, through a pipe or with --resume --train FILE"
    for given in ((b"", True), (b"", False), (b"Other text. Of another kind. " * 30, False)):
        stdin(*given)
        result = commands("train", "--resume", "--checkpoint", "1.safetensors")
        assert (result.status, result.err.count("\n")) == (2, 1)
        assert advice in result.err, result.err
    stdin(text)
    assert commands("train", "--resume", "--checkpoint", "1.safetensors").status == 0
    assert commands("train", "--resume", "--checkpoint", "2.safetensors", "--train", "text.txt").status == 0
    assert load("1.safetensors").best["b_y"].tobytes() == load("2.safetensors").best["b_y"].tobytes()


@pytest.mark.parametrize("is_named", [True, False])
def test_a_folder_that_is_removed_during_training_is_made_again(commands, monkeypatch, is_named):
    """That of the checkpoint; or the current one, in which the checkpoint is."""
    place = Path("runs" if is_named else "here").absolute()
    path = f"runs/{MODEL}" if is_named else MODEL
    commands.train("--epochs", "3", checkpoint="whole.safetensors")
    on_step = session.Session.on_step

    def removing(self, progress, *rest):
        on_step(self, progress, *rest)
        if progress.step == STEPS + 2:
            shutil.rmtree(place)

    place.mkdir()
    if not is_named:
        monkeypatch.chdir(place)
    monkeypatch.setattr(session.Session, "on_step", removing)
    result = commands("train", *TINY, "--train", "../text.txt" if not is_named else "text.txt", "--epochs", "3",
                      "--checkpoint", path)  # fmt: skip
    monkeypatch.chdir(place.parent)
    assert (result.status, result.err) == (0, "")
    assert f"the folder of {path} was removed: created it again as {place}" in result.out
    assert load(place / MODEL).best["b_y"].tobytes() == load("whole.safetensors").best["b_y"].tobytes()
    assert log_of(place / MODEL) == log_of("whole.safetensors")


def test_resuming_a_finished_run_changes_nothing(commands):
    commands.train()
    before = contents(commands.folder)
    result = commands("train", "--resume", "--checkpoint", MODEL)
    assert (result.status, result.err) == (0, "")
    assert "nothing left to do" in result.out
    assert contents(commands.folder) == before


@pytest.mark.parametrize("log", [b"", b'{"epoch": 1', b"[]\n3\n", b"\xff\n", b"[" * 100_000])
def test_resuming_a_finished_run_completes_a_log_that_was_not(commands, log):
    """The last checkpoint was written, and the process killed before its record was."""
    commands.train()
    whole = log_of(MODEL)
    (commands.folder / LOG).write_bytes(log)
    assert commands("train", "--resume", "--checkpoint", MODEL).status == 0
    assert log_of(MODEL) == whole
    assert set(records()[0]) == set(EPOCH_FIELDS) and not set(records()[-1]) & {"seconds"}


def test_flags_that_repeat_the_checkpoint_are_no_conflict(commands):
    commands.train("--max-seconds", "1e-9")
    commands.train("--max-seconds", "1e-9")
    assert commands("train", "--resume", "--checkpoint", MODEL, *TINY).status == 0


def test_max_seconds_ends_with_an_evaluation_and_a_last_record(commands):
    result = commands.train("--max-seconds", "1e-9")
    assert (result.status, result.err) == (0, "")
    validated, last = records()
    assert list(validated) == ["epoch", "batch", *EPOCH_FIELDS[1:]]
    assert (validated["epoch"], validated["batch"], validated["step"]) == (1 / STEPS, 1, 1)
    assert set(TEST_FIELDS) <= set(last)
    progress = load(MODEL, resume=True).progress
    assert (progress["is_finished"], progress["step"], progress["records"]) == (False, 1, [])


def test_a_run_in_pieces_of_time_equals_one_in_one_piece(commands):
    commands.train(checkpoint="whole.safetensors")
    commands.train("--max-seconds", "1e-9")
    while not load(MODEL, resume=True).progress["is_finished"]:
        assert commands("train", "--resume", "--checkpoint", MODEL, "--max-seconds", "1e-9").status == 0
    pieces, whole = load(MODEL, resume=True), load("whole.safetensors", resume=True)
    for name, value in whole.last.items():
        assert pieces.last[name].tobytes() == value.tobytes()
    assert log_of(MODEL)[:2] == log_of("whole.safetensors")[:2]


def test_a_loss_that_diverges_is_status_1_and_keeps_the_checkpoint(commands):
    result = commands("train", *TINY, "--learning-rate", "1e38", "--checkpoint", MODEL)
    assert result.status == 1
    assert result.err.count("\n") == 1 and "The last good checkpoint is kept" in result.err
    assert all(np.isfinite(value).all() for value in load(MODEL, resume=True).last.values())


def test_characters_are_a_stream_with_line_breaks(commands):
    (commands.folder / "text.txt").write_text("\n".join(sentences(60)))
    commands.train("--unit", "char", "--vocab-size", "19", "--max-seconds", "1e-9")
    checkpoint = load(MODEL)
    assert "\n" in checkpoint.vocabulary and all(len(word) == 1 for word in checkpoint.vocabulary.words)
    result = commands("generate", MODEL, "--num-samples", "2", "--max-tokens", "30")
    assert result.status == 0
    assert len(result.out.rstrip("\n")) <= 2 * 30 + 2
    lines = commands("score", MODEL, "text.txt").out.splitlines()
    assert [line.split("\t")[3] for line in lines] == sentences(60)
    assert [int(line.split("\t")[1]) for line in lines] == [len(line) + 1 for line in sentences(60)]


@pytest.mark.slow
def test_sentences_are_batches_of_their_own(commands):
    commands.train("--batching", "sentences", "--epochs", "1")
    assert load(MODEL).settings["training"]["batching"] == "sentences"
    assert records()[0]["step"] == 14  # 54 sentences, 4 at a time
    assert commands("generate", MODEL, "--num-samples", "1").status == 0


def test_files_of_any_kind_and_given_validation_and_test(commands):
    texts = sentences(60)
    (commands.folder / "a.txt.gz").write_bytes(gzip.compress(" ".join(texts[:30]).encode()))
    (commands.folder / "b.csv").write_text("id,body\n" + "".join(f'1,"{text}"\n' for text in texts[30:]))
    commands.train("--train", "a.txt.gz", "b.csv", "--valid", "text.txt", "--max-seconds", "1e-9")
    assert "test_loss" not in records()[-1]
    assert commands.train("--train", "a.txt.gz", "b.csv", "--valid", "text.txt", "--test", "text.txt",
                          "--max-seconds", "1e-9").out.startswith("360 / 360 / 360 tokens")  # fmt: skip


def test_text_from_standard_input(commands, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((commands.folder / "text.txt").read_bytes())))
    assert commands.train("--train", "-", "--max-seconds", "1e-9").out.startswith("324 / 18 / 18 tokens")


def test_a_file_of_settings_makes_the_run_that_flags_make(commands):
    commands.train(checkpoint="flags.safetensors")
    (commands.folder / "run.toml").write_text(
        'train = ["text.txt"]\npreset = "none"\n[network]\nembedding-size = 3\nhidden-size = 4\n'
        "[training]\nbatch_size = 4\nbptt-steps = 20\nepochs = 7\n"
    )
    arguments = ["--config", "run.toml", "--epochs", "2", "--checkpoint", "toml.safetensors"]
    assert commands("train", *arguments).status == 0
    assert (commands.folder / "toml.safetensors").read_bytes() == (commands.folder / "flags.safetensors").read_bytes()


def test_a_name_of_a_text_need_not_be_utf_8(commands):
    name = b"caf\xe9.txt".decode("utf-8", "surrogateescape")
    (commands.folder / name).write_text(" ".join(sentences(60)))
    commands.train("--train", name, "--max-seconds", "1e-9")
    assert load(MODEL).settings["corpus"]["train"] == [name]
    assert commands("train", "--resume", "--checkpoint", MODEL).status == 0


def test_without_texts_the_novels_are_read_where_they_are(tmp_path):
    assert TASKS["next"].default_files(CorpusConfig(), None).train[0].endswith("data/austen/emma.txt")
    assert TASKS["next"].default_files(CorpusConfig(train=("a",)), tmp_path).train == ("a",)
    with pytest.raises(UserError, match="no training text: give your own"):
        TASKS["next"].default_files(CorpusConfig(), tmp_path)


def test_a_log_is_cut_back_to_what_the_checkpoint_knows(tmp_path):
    known = [{"epoch": 1, "valid_loss": 0.1}, {"epoch": 2, "valid_loss": 0.2}]
    path = tmp_path / LOG
    path.write_text("".join(json.dumps(r | {"seconds": 5.0}) + "\n" for r in [known[0], known[1] | {"valid_loss": 9}]))
    lines = [json.loads(line) for line in restore_log(path, known, "tokens").splitlines()]
    unknown = dict.fromkeys(("tokens_per_second", "seconds", "kernels"))
    assert lines == [known[0] | {"seconds": 5.0}, known[1] | unknown]
    assert restore_log(path, [], "tokens") == b""


def test_sizes_are_those_asked_for(commands):
    (commands.folder / "text.txt").write_text(" ".join([*sentences(60), "Zoe.", "Yves.", "Xanthippe."] * 2))
    commands.train("--vocab-size", "19", "--max-seconds", "1e-9")
    shapes = {name: value.shape for name, value in load(MODEL).best.items()}
    assert shapes["embedding"] == (21, 3) and shapes["W_he"] == (4, 3) and shapes["b_y"] == (19,)
    assert shapes["layer0.W_hh"] == (4, 16)


def test_the_log_may_be_elsewhere_also_when_resumed(commands):
    commands.train("--log", "logs/run.jsonl", "--max-seconds", "1e-9")
    assert len(records("logs/run.jsonl")) == 2 and not (commands.folder / LOG).exists()
    assert commands("train", "--resume", "--checkpoint", MODEL, "--log", "logs/new/run.jsonl").status == 0
    assert len(records("logs/new/run.jsonl")) == 3
