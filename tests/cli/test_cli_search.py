"""`search`: trials as runs of their own, killed and continued, shared by processes, reported.

Most tests put a stand-in for `train` into ``scripts/train.py`` of a folder that plays a clone: it writes a log like
`train`, at once. Tests with real trainings are slow.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import ENGINES
from tiny_runs import sentences, wait_for

from theano_rnn.cli.main import command
from theano_rnn.cli.options import read_toml
from theano_rnn.cli.space_files import read_space_file, to_toml, without_test

optuna = pytest.importorskip("optuna")

from theano_rnn.cli.search_reports import WIDTH, results_table  # noqa: E402 they import Optuna

TRAIN = '''
import json, math, os, signal, sys, time
from pathlib import Path

flags = sys.argv[1:]
of = lambda name: flags[flags.index(name) + 1]
lines = Path(of("--config")).read_text().splitlines()
settings = {name: json.loads(value) for name, value in (line.split(" = ") for line in lines if " = " in line)}
checkpoint = Path(of("--checkpoint"))
log = checkpoint.with_suffix(".jsonl")
is_resumed = "--resume" in flags
if is_resumed and not checkpoint.exists():
    sys.exit("nothing to resume")


def tell(path, record):
    with open(path, "a") as file:
        file.write(json.dumps(record) + "\\n")


def call(what):
    tell("calls", {"trial": checkpoint.stem, "what": what, "resumed": is_resumed, "flags": flags,
                   "pid": os.getpid(), "cores": sorted(os.sched_getaffinity(0)), **settings})


signal.signal(signal.SIGTERM, lambda *_: (call("stop"), sys.exit(143)))
call("start")
started = time.monotonic()
while Path("calls").read_text().count('"start"') < int(os.environ.get("TOGETHER", "0")):
    time.sleep(0.01)
    if time.monotonic() > started + 60:
        sys.exit("alone")
if settings.get("dropout") == 0.9:
    print("python scripts/train.py: --dropout 0.9 is too much for this test", file=sys.stderr)
    sys.exit(2)
records = [json.loads(line) for line in log.read_text().splitlines()] if is_resumed else []
if not is_resumed:
    checkpoint.write_bytes(b"x")
    log.write_text("")
for epoch in range(len(records) + 1, settings["epochs"] + 1):
    time.sleep(float(os.environ.get("PAUSE", "0")))
    loss = abs(math.log10(settings.get("learning-rate", 0.1)) + 2) + settings["dropout"] + 2 / epoch
    tell(log, {"epoch": epoch, "step": epoch, "train_loss": loss, "valid_loss": loss,
               "valid_perplexity": math.exp(loss), "seconds": float(epoch)})
tell(log, {"step": 9, "best_step": 9})
call("end")
'''
GRID = """
train = "text.txt"
valid = "valid.txt"
test = "test.txt"
epochs = 2
[vary]
dropout = [0.1, 0.2, 0.3]
learning-rate = {range = [0.01, 0.04, 0.01]}
[search]
sampler = "grid"
"""
LONG = """
train = "text.txt"
epochs = 4
[vary]
dropout = {range = [0.1, 0.6, 0.1]}
[search]
sampler = "random"
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with a stand-in for `train`, and a function that runs `search` there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "train.py").write_text(TRAIN)
    return tmp_path


@pytest.fixture
def search(clone, capsys):
    def search(text, *arguments):
        (clone / "space.toml").write_text(text)
        status = command("search", ["space.toml", *arguments], prog="x", root=clone)
        return status, *capsys.readouterr()

    return search


def calls(folder, what="start"):
    """What the stand-in was called for."""
    path = folder / "calls"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [each for each in found if each["what"] == what]


def trials_of(folder, name="space"):
    return [json.loads(line) for line in (folder / "runs" / name / "trials.jsonl").read_text().splitlines()]


def in_process(folder, *arguments, pause=0.0):
    """A search in a process of its own."""
    code = ("import sys; from pathlib import Path; from theano_rnn.cli.main import command; "
            "sys.exit(command('search', sys.argv[1:], prog='x', root=Path.cwd()))")  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", code, "space.toml", *arguments], cwd=folder, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env={**os.environ, "PAUSE": str(pause)},
    )  # fmt: skip


def ended(process):
    """The output of a process that must succeed."""
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return out


def test_a_grid_is_searched_and_reported(search, clone):
    status, out, err = search(GRID)
    assert status == 0, err
    found = calls(clone)
    assert len(found) == 12 == len({(each["dropout"], each["learning-rate"]) for each in found})
    assert not any("test" in each or each["resumed"] for each in found)
    assert all("--no-testing" in each["flags"] for each in found)
    assert out == (clone / "runs/space/table.txt").read_text()
    assert (clone / "runs/space/picture.png").read_bytes().startswith(b"\x89PNG")
    lines = out.splitlines()
    assert lines[0] == "12 of 12 trials ended: 12 complete"
    assert lines[2].split() == ["trial", "perplexity", "epoch", "minutes", "dropout", "learning-rate"]
    assert lines[3].split() == ["1", f"{np.exp(1.1):.2f}", "2", "0.0", "0.1", "0.01"]
    assert len(lines) == 15
    records = trials_of(clone)
    assert [record["trial"] for record in records] == list(range(1, 13))
    assert records[0]["settings"] == {"dropout": 0.1, "learning_rate": 0.01}
    expected = {"state": "complete", "epoch": 2, "epochs": 2, "checkpoint": "trial-001.safetensors"}
    assert records[0] | expected == records[0]
    assert records[0]["valid_loss"] == pytest.approx(1.1)
    best = read_toml("runs/space/best.toml")
    assert best == {"train": "text.txt", "valid": "valid.txt", "test": "test.txt", "epochs": 2, "dropout": 0.1,
                    "learning-rate": 0.01}  # fmt: skip
    assert read_toml("runs/space/trial-001.toml") == {name: best[name] for name in best if name != "test"}


def test_a_finished_search_has_nothing_to_do_and_more_trials_may_be_asked_for(search, clone):
    assert search(LONG, "--trials", "2")[0] == 0
    status, out, _ = search(LONG, "--trials", "2")
    assert status == 0
    assert out.startswith("2 of 2 trials ended")
    assert len(calls(clone)) == 2
    assert search(LONG, "--trials", "4")[1].startswith("4 of 4 trials ended")
    assert len({each["dropout"] for each in calls(clone)}) == 4 == len(calls(clone))


def test_two_processes_share_the_trials(clone):
    (clone / "space.toml").write_text(GRID)
    processes = [in_process(clone, pause=0.1) for _ in range(2)]
    tables = [ended(process).partition("12 of 12 trials ended")[2] for process in processes]
    assert tables[0] == tables[1] != ""
    found = calls(clone)
    assert len(found) == 12 == len({(each["dropout"], each["learning-rate"]) for each in found})
    parents = Counter(each["trial"] for each in found)
    assert set(parents.values()) == {1}


def test_a_killed_search_is_continued_after_its_orphan(search, clone, monkeypatch):
    (clone / "space.toml").write_text(LONG)
    process = in_process(clone, pause=0.3)
    wait_for(clone / "runs/space/trial-002.safetensors")
    process.kill()
    process.communicate()
    status, _, err = search(LONG)
    assert status == 0, err
    records = trials_of(clone)
    assert [record["state"] for record in records] == ["complete"] * 6
    assert len({record["settings"]["dropout"] for record in records}) == 6
    starts = calls(clone)
    assert all(not each["resumed"] or each["trial"] == "trial-002" for each in starts)
    second = [each["what"] for each in map(json.loads, (clone / "calls").read_text().splitlines())
              if each["trial"] == "trial-002"]  # fmt: skip
    assert second == ["start", "end"]  # the process of the killed search did it; never two at once
    log = map(json.loads, (clone / "runs/space/trial-002.jsonl").read_text().splitlines())
    assert [record["epoch"] for record in log if "epoch" in record] == [1, 2, 3, 4]


def test_a_stopped_search_saves_its_trials_and_continues_them(search, clone):
    (clone / "space.toml").write_text(LONG)
    process = in_process(clone, pause=0.3)
    log = clone / "runs/space/trial-001.jsonl"
    wait_for(log)
    while not log.read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.endswith("stopped; to continue, use the same command again\n")
    assert [each["trial"] for each in calls(clone, "stop")] == ["trial-001"]
    assert trials_of(clone)[0]["state"] == "running"
    assert not list((clone / "runs/space").glob("*.lock"))
    status, _, err = search(LONG)
    assert status == 0
    assert "trial 1 continues: dropout " in err
    assert [each["trial"] for each in calls(clone) if each["resumed"]] == ["trial-001"]
    assert [record["state"] for record in trials_of(clone)] == ["complete"] * 6


def test_a_trial_whose_process_was_killed_too_is_resumed(search, clone):
    (clone / "space.toml").write_text(LONG)
    process = in_process(clone, pause=0.5)
    log = clone / "runs/space/trial-001.jsonl"
    wait_for(log)
    while not log.read_text():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    os.kill(calls(clone)[0]["pid"], signal.SIGKILL)
    status, out, err = search(LONG)
    assert status == 0, err
    assert "6 complete" in out
    assert "trial 1 continues: dropout " in err
    assert [each["trial"] for each in calls(clone) if each["resumed"]] == ["trial-001"]
    assert [json.loads(line).get("epoch") for line in log.read_text().splitlines()] == [1, 2, 3, 4, None]


def test_several_jobs_run_at_once_on_cores_of_their_own(search, clone, monkeypatch):
    monkeypatch.setenv("TOGETHER", "3")  # each of the first three trials waits for the others
    status, _, err = search(LONG, "--jobs", "3")
    assert status == 0, err
    assert [record["state"] for record in trials_of(clone)] == ["complete"] * 6
    cores = sorted(os.sched_getaffinity(0))
    shares = [cores[job::3] or [cores[job % len(cores)]] for job in range(3)]
    assert all(each["cores"] in shares for each in calls(clone))


def test_bad_trials_are_stopped_early(search, clone, monkeypatch):
    monkeypatch.setenv("PAUSE", "0.3")
    text = LONG.replace("[0.1, 0.6, 0.1]", "[0.1, 0.8, 0.1]").replace('"random"', '"grid"')  # the later, the worse
    status, out, err = search(text, "--pruner", "median")
    assert status == 0, err
    states = [record["state"] for record in trials_of(clone)]
    assert states[:5] == ["complete"] * 5  # the pruner waits for five
    assert "pruned" in states[5:]
    assert "* stopped early" in out
    pruned = next(record for record in trials_of(clone) if record["state"] == "pruned")
    assert pruned["epochs"] < 4
    rows = [line.split() for line in out.splitlines()[3:11]]
    assert [row[1].endswith("*") for row in rows] == sorted(state == "pruned" for state in states)


def test_a_trial_that_fails_is_listed_and_not_tried_again(search, clone):
    text = LONG.replace("{range = [0.1, 0.6, 0.1]}", "[0.1, 0.9]")
    status, out, _ = search(text)
    assert status == 0
    assert "2 of 2 trials ended: 1 complete, 1 failed" in out
    assert "failed: --dropout 0.9 is too much for this test\n" in out
    assert len(calls(clone)) == 2
    assert search(text)[0] == 0
    assert len(calls(clone)) == 2


def test_a_search_ends_if_all_trials_fail(search, clone):
    text = LONG.replace("epochs = 4", "epochs = 4\ndropout = 0.9").replace("dropout = {", "hidden-size = {").replace(
        "[0.1, 0.6, 0.1]", "[10, 60, 10]")  # fmt: skip
    status, out, err = search(text)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == (
        "x: the first 3 trials failed, the last one with: --dropout 0.9 is too much for this test"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 2", "nothing is varied: add a table [vary]"),
        ("epochs = ", "space.toml is not TOML"),
        ("epoch = 2\n[vary]\ndropout = [0.1]", "space.toml: 'epoch' is not a setting"),
        ("[vary]\nlayers = [1]", "space.toml [vary]: 'layers' is not a setting"),
        ("[vary]\ndropout = [0.1]\n[search]\ntrial = 3", "space.toml [search]: 'trial' is not a setting"),
        ("[vary]\ndropout = [0.1]\n[search]\ntrials = 0", "--trials must be at least 1, got 0"),
        ("[vary]\ndropout = [0.1]\n[search]\nsampler = 'best'", "--sampler must be one of grid, random"),
        ("vary = 3", "[vary] must be a table, got 3"),
        ("[vary]\ndropout = {uniform = [0, 1]}", "dropout must be less than 1, got 1"),
        ("[vary]\nhidden-size = {uniform = [10, 20]}", "hidden_size must be a whole number: use integers"),
        ("[vary]\nhidden-size = [10, 0]", "hidden_size must be at least 1, got 0"),
        ("[vary]\ncell = ['lstm', 'gur']", "cell must be one of "),
        ("[vary]\ncutoffs = [[10], ['a']]", "cutoffs must be a list of whole numbers"),
        ("[vary]\nthreads = [1, 2]", "threads does not change the result: move it out of [vary]"),
        ("[vary]\nselect = ['loss']", "select must be the same for all trials"),
        ("[vary]\ntask = ['next', 'fill']", "task must be the same for all trials"),
        ("checkpoint = 'a'\n[vary]\ndropout = [0.1]", "checkpoint is set by the search, for each trial"),
        ("train = '-'\n[vary]\ndropout = [0.1]", "standard input can be read only once"),
        ("[vary]\npooling = ['max']", "--pooling is for --task classify"),
        ("task = 'guess'\n[vary]\ndropout = [0.1]", "--task must be one of next"),
        ("select = 'bleu'\n[vary]\ndropout = [0.1]", "--select must be one of loss"),
        ("config = 'none'\n[vary]\ndropout = [0.1]", "--config none: no such file or recipe"),
        ("optimizer = 'asgd'\n[vary]\naverage-decay = [0.1]", "--average-decay cannot be used with optimizer asgd"),
        ("[vary]\ndropout = {uniform = [0.1, 0.2]}\n[search]\nsampler = 'grid'", "--sampler grid needs a list"),
    ],
)
def test_a_mistake_is_one_line(search, clone, text, message):
    text = text if "train" in text else f"train = 'text.txt'\n{text}"
    status, out, err = search(text)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert message in err
    assert not calls(clone)


def test_without_optuna_one_line_says_how_to_install_it(search, monkeypatch):
    monkeypatch.setattr("theano_rnn.cli.search.find_spec", lambda name: None)
    assert search(GRID) == (2, "", "x: search needs Optuna, which is not installed: run pip install "
                            "'theano_rnn[search]'\n")  # fmt: skip


def test_a_missing_space_is_one_line(clone, capsys):
    assert command("search", ["no.toml"], prog="x", root=clone) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_of_another_search_is_left_alone(search, clone):
    assert search(LONG, "--trials", "1")[0] == 0
    status, _, err = search(LONG.replace("epochs = 4", "epochs = 5"))
    assert status == 2
    assert "runs/space has trials of other settings: give another --folder" in err
    assert search(LONG.replace("epochs = 4", "epochs = 5"), "--folder", "runs/other", "--trials", "1")[0] == 0


def test_a_recipe_gives_settings_that_may_be_varied(clone):
    (clone / "space.toml").write_text("config = 'austen'\nepochs = 3\n[vary]\ndropout = [0.3, 0.4]")
    file = read_space_file("space.toml")
    assert file.shared["preset"] == "austen"
    assert (file.shared["epochs"], file.shared["hidden_size"]) == (3, 200)
    assert "dropout" not in file.shared
    assert (file.selected.name, file.shown.name) == ("loss", "perplexity")


@pytest.mark.parametrize(
    ("text", "selected", "shown"),
    [
        ("unit = 'char'", "loss", "loss"),
        ("task = 'classify'", "accuracy", "accuracy"),
        ("task = 'classify'\nselect = 'loss'", "loss", "loss"),
        ("task = 'fill'", "loss", None),
    ],
)
def test_the_measure_is_the_one_that_chooses_parameters(clone, text, selected, shown):
    (clone / "space.toml").write_text(f"train = 'a'\n{text}\n[vary]\ndropout = [0.3, 0.4]")
    file = read_space_file("space.toml")
    assert file.selected.name == selected
    assert shown in (None, file.shown.name)


def test_a_vocabulary_that_varies_is_advised_against(search):
    text = LONG.replace("dropout = {range = [0.1, 0.6, 0.1]}", "vocab-size = [10, 20]").replace("4", "4\ndropout = 0.1")
    assert search(text)[2].startswith("vocab_size change what is predicted, so losses of different values cannot be")


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        ({"test": ["t"]}, {"test_fraction": 0}),
        ({"test": "t", "valid": "v"}, {"valid": "v"}),
        ({"valid_fraction": 0.1}, {"valid_fraction": 0.1}),
        ({"test": "t", "test_fraction": 0.2}, {"test_fraction": 0}),
    ],
)
def test_leaving_out_a_test_file_keeps_the_training_part(shared, expected):
    assert without_test(shared) == expected


def test_a_recipe_is_read_as_it_was_written(tmp_path):
    values = {"train": ["ä \"b\"\\", "c\n\x7f"], "learning_rate": 1e-05, "epochs": 3, "tie_weights": False,
              "cutoffs": [1000, 4000], "clip_norm": 0.1}  # fmt: skip
    (tmp_path / "a.toml").write_bytes(to_toml(values, "One\n\nTwo"))
    assert {name.replace("-", "_"): value for name, value in read_toml(tmp_path / "a.toml").items()} == values


def test_a_table_with_many_settings_stays_within_the_width(search, clone):
    names = ["embedding-size", "hidden-size", "batch-size", "bptt-steps", "num-layers", "epochs"]
    varied = "\n".join(f"{name} = [{number + 2}]" for number, name in enumerate(names))
    text = f"train = 'text.txt'\n[vary]\n{varied}\ndropout = [0.1, 0.2]\nrecurrent-init = ['orthogonal']"
    _, out, err = search(text)
    assert max(map(len, out.splitlines())) <= WIDTH, err
    assert "embedding-size 2, hidden-size 3" in out


def test_a_table_without_results_says_so(clone):
    (clone / "space.toml").write_text(LONG)
    assert results_table([], read_space_file("space.toml"), 6) == "0 of 6 trials ended\n"


@pytest.mark.slow
def test_real_trials_are_runs_that_train_repeats(tmp_path, monkeypatch, capsys):
    """Without a clone: trials are runs of `python -m theano_rnn train`; the recipe of the best gives its loss again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(" ".join(sentences(200)))
    (tmp_path / "space.toml").write_text(
        f"train = 'text.txt'\nengine = '{ENGINES[-1]}'\nthreads = 1\nepochs = 2\npreset = 'none'\nembedding-size = 3\n"
        "hidden-size = 4\nbatch-size = 4\nbptt-steps = 20\ncurves = false\n[vary]\n"
        "learning-rate = {log_uniform = [0.001, 0.1]}\n[search]\ntrials = 2\n"
    )
    assert command("search", ["space.toml"], prog="x") == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 of 2 trials ended: 2 complete"), err
    records = trials_of(tmp_path)
    for record in records:
        log = (tmp_path / "runs/space" / f"trial-{record['trial']:03}.jsonl").read_text().splitlines()
        assert not any(name.startswith("test_") for name in json.loads(log[-1]))
        assert record["valid_loss"] == min(json.loads(line)["valid_loss"] for line in log[:-1])
    again = [sys.executable, "-m", "theano_rnn", "train", "--config", "runs/space/best.toml", "--checkpoint",
             "again.safetensors"]  # fmt: skip
    root = str(Path(__file__).parents[2])
    subprocess.run(again, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": root})
    again = [json.loads(line) for line in Path("again.jsonl").read_text().splitlines()]
    best = min(record["valid_loss"] for record in records)
    assert min(record["valid_loss"] for record in again[:-1]) == pytest.approx(best, rel=1e-5)
    assert "test_loss" in again[-1]
