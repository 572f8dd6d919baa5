"""The study of a search: processes that share it do no trial twice, and continue what was interrupted."""

import threading

import pytest

pytest.importorskip("optuna")

from theano_rnn.learning.atomic_files import release
from theano_rnn.search.space import key, read_space
from theano_rnn.search.study import Study
from theano_rnn.settings.base import UserError
from theano_rnn.settings.trials import TrialsConfig

SPACE = read_space({"cell": ["lstm", "gru"], "num_layers": {"integers": [1, 3]}, "cutoffs": [[], [10, 20]]})
MIXED = read_space({"dropout": {"range": [0.1, 0.5, 0.1]}, "learning_rate": {"log_uniform": [1e-3, 1e-1]},
                    "hidden_size": {"log_integers": [4, 64]}, "clip_norm": {"uniform": [0, 1]}})  # fmt: skip


def study_in(folder, space=SPACE, described="a", is_higher_better=False, **config):
    return Study(folder, space, TrialsConfig(**config), is_higher_better=is_higher_better, described=described)


def loss(settings):
    return settings["num_layers"] + len(settings["cutoffs"])


def finish(claim, value=None):
    claim.end("complete", {"epochs": 1}, loss(claim.settings) if value is None else value)


@pytest.mark.parametrize("sampler", ["grid", "random", "qmc", "tpe"])
def test_processes_together_try_every_combination_once(tmp_path, sampler):
    """Each `Study` stands for a process: it has its own journal and its own locks."""
    studies = [study_in(tmp_path, sampler=sampler, trials=50) for _ in range(3)]

    def work(study):
        while (claim := study.claim()) is not None:
            finish(claim)

    threads = [threading.Thread(target=work, args=(study,)) for study in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = studies[0].trials()
    assert [trial.number for trial in trials] == list(range(1, 13))
    assert len({key(trial.settings) for trial in trials}) == 12 == SPACE.size
    assert all(trial.state == "complete" and trial.value == loss(trial.settings) for trial in trials)
    assert all(study.is_done() for study in studies)


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
def test_values_lie_in_the_space(tmp_path, sampler):
    study = study_in(tmp_path, MIXED, sampler=sampler, trials=12)
    while (claim := study.claim()) is not None:
        finish(claim, claim.settings["clip_norm"])
    for trial in study_in(tmp_path, MIXED).trials():
        assert trial.settings["dropout"] in (0.1, 0.2, 0.3, 0.4, 0.5)
        assert 1e-3 <= trial.settings["learning_rate"] <= 1e-1
        assert 4 <= trial.settings["hidden_size"] <= 64
        assert isinstance(trial.settings["hidden_size"], int)
        assert 0 <= trial.settings["clip_norm"] <= 1


def test_random_trials_depend_on_the_seed_and_not_on_who_asks(tmp_path):
    found = []
    for number, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        studies = [study_in(folder, MIXED, sampler="random", trials=4, seed=seed) for _ in range(1 + number)]
        claims = [studies[i % len(studies)].claim() for i in range(4)]
        found.append([claim.settings for claim in claims])
        for claim in claims:
            claim.release()
    assert found[0] == found[1] != found[2]


def test_an_interrupted_trial_is_continued_first_and_a_running_one_is_left_alone(tmp_path):
    first, second = study_in(tmp_path, trials=3), study_in(tmp_path, trials=3)
    running, interrupted = first.claim(), first.claim()
    assert (running.number, interrupted.number) == (1, 2)
    interrupted.should_stop({1: 5.0})
    interrupted.release()  # as the operating system does if the process is killed
    continued = second.claim()
    assert (continued.number, continued.settings) == (2, interrupted.settings)
    assert continued.is_interrupted
    assert not running.is_interrupted
    assert second.claim().number == 3
    assert second.claim() is None
    assert not second.is_done()
    finish(continued)
    finish(running)
    assert [trial.state for trial in first.trials()] == ["complete", "complete", "running"]


@pytest.mark.parametrize("moment", ["enqueue_trial", "tell", "ask"])
def test_a_process_killed_while_it_takes_over_a_trial_loses_none(tmp_path, monkeypatch, moment):
    study_in(tmp_path, trials=2).claim().release()
    dying = study_in(tmp_path, trials=2)
    locks = []
    real = dying.locked
    monkeypatch.setattr(dying, "locked", lambda path: locks.append((path, real(path))) or locks[-1][1])

    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(dying.study, moment, die)
    with pytest.raises(KeyboardInterrupt):
        dying.claim()
    for path, descriptor in locks:
        if path.name != "search":
            release(path.with_name(path.name + ".lock"), descriptor)
    study = study_in(tmp_path, trials=2)
    while (claim := study.claim()) is not None:
        finish(claim)
    assert [(trial.number, trial.state) for trial in study.trials()] == [(1, "complete"), (2, "complete")]
    assert len({key(trial.settings) for trial in study.trials()}) == 2


def test_pruning_compares_with_earlier_trials(tmp_path):
    study = study_in(tmp_path, trials=8, pruner="median")
    for _ in range(6):
        claim = study.claim()
        assert not claim.should_stop({1: 3.0, 2: 2.0})
        finish(claim, 2.0)
    bad, good = study.claim(), study.claim()
    assert not good.should_stop({1: 2.5})
    assert bad.should_stop({1: 4.0})
    assert not bad.should_stop({1: 4.0})  # nothing new
    bad.end("pruned", {})
    assert study.trials()[6].value == 4.0
    good.release()


def test_higher_may_be_better(tmp_path):
    study = study_in(tmp_path, trials=7, pruner="median", is_higher_better=True)
    for _ in range(6):
        claim = study.claim()
        claim.should_stop({1: 0.5})
        finish(claim, 0.5)
    claim = study.claim()
    assert claim.should_stop({1: 0.4})
    claim.release()


def test_importance_finds_the_setting_that_decides(tmp_path):
    study = study_in(tmp_path, MIXED, sampler="random", trials=40)
    while (claim := study.claim()) is not None:
        finish(claim, abs(claim.settings["clip_norm"] - 0.3))
        assert bool(study.importance()) == (claim.number > 2)
    importance = study.importance()
    assert max(importance, key=importance.get) == "clip_norm"
    assert sum(importance.values()) == pytest.approx(1)


def test_a_folder_belongs_to_one_search(tmp_path):
    study_in(tmp_path)
    study_in(tmp_path, sampler="random", trials=3, pruner="median")  # what may change
    with pytest.raises(UserError, match="has trials of other settings: give another --folder"):
        study_in(tmp_path, described="b")


def test_a_grid_needs_values_and_some_samplers_need_packages(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="--sampler grid needs a list, .* learning_rate is log_uniform"):
        study_in(tmp_path, MIXED, sampler="grid")
    monkeypatch.setattr("theano_rnn.search.study.find_spec", lambda name: None)
    with pytest.raises(UserError, match="--sampler cmaes needs cmaes, which is not installed"):
        study_in(tmp_path, sampler="cmaes")


def test_a_folder_without_locks_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("theano_rnn.search.study.acquire", lambda name, path: None)
    with pytest.raises(UserError, match="file system without locks"):
        study_in(tmp_path)
