"""The study of a search: which trial is next, and what the earlier ones reached. All processes share it.

Optuna keeps it in a journal file, ``FOLDER/journal.log``. While a process chooses a trial, it holds the lock of the
folder, and while it runs one, the lock of the trial. The operating system releases a lock when its process ends,
however that ends. So if a trial is running in the journal but its lock is free, it was interrupted, and the next
process that asks for work continues it.

Optuna offers no way to continue a trial in another process. So an interrupted trial of ours is told to be failed, and
a new one of Optuna's with the same number of ours (attribute ``trial``) takes its place.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from theano_rnn.learning.atomic_files import acquire, release
from theano_rnn.search.space import Space, key
from theano_rnn.search.stored_values import decoded, encoded, suggest
from theano_rnn.settings.base import UserError
from theano_rnn.settings.trials import TrialsConfig

JOURNAL = "journal.log"
DEFAULT_TRIALS = 20
NEEDED_BY = {"gp": "torch", "cmaes": "cmaes"}  # packages that samplers need beside Optuna
STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
WAIT_SECONDS = 0.05  # between two attempts to get the folder's lock


class Trial(NamedTuple):
    """What is known about a trial.

    Parameters
    ----------
    number : int
        From 1.
    state : str
        ``running`` (or interrupted), ``complete``, ``pruned`` or ``failed``.
    settings : dict
        The varied settings, by name.
    value : float, optional
        The selected measure: the best of a complete trial, the last of a pruned one.
    result : dict
        What was recorded at its end.
    """

    number: int
    state: str
    settings: dict[str, Any]
    value: float | None
    result: dict[str, Any]


class Study:
    """The trials of the search in `folder`.

    Parameters
    ----------
    folder
        Exists.
    space
        The settings that vary.
    config
        How the space is searched.
    is_higher_better
        Whether the selected measure is better if it is higher.
    described
        A text that describes the search. A folder belongs to one search.

    Raises
    ------
    UserError
        The folder belongs to another search, has no locks, or the sampler needs a package or lists of values.
    """

    def __init__(
        self, folder: Path, space: Space, config: TrialsConfig, *, is_higher_better: bool, described: str
    ) -> None:
        self.folder, self.space, self.config = folder, space, config
        needed = NEEDED_BY.get(config.sampler)
        if needed is not None and find_spec(needed) is None:
            raise UserError(f"--sampler {config.sampler} needs {needed}, which is not installed: run pip install "
                            f"{needed}, or use --sampler tpe")  # fmt: skip
        continuous = [dimension for dimension in space.dimensions if not dimension.values]
        if config.sampler == "grid" and continuous:
            raise UserError(f"--sampler grid needs a list, a range or integers for each setting, and "
                            f"{continuous[0].name} is {continuous[0].kind}: use another --sampler")  # fmt: skip
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"optuna\.")
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        with self.choosing():
            backend = JournalFileBackend(str(folder / JOURNAL))
            self.study = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend), study_name="search", load_if_exists=True,
                direction="maximize" if is_higher_better else "minimize", pruner=make_pruner(config.pruner),
                sampler=optuna.samplers.RandomSampler(seed=config.seed),
            )  # fmt: skip
            known = self.study.user_attrs.get("described")
            if known is None:
                self.study.set_user_attr("described", described)
            elif known != described:
                raise UserError(f"{folder} has trials of other settings: give another --folder, or the settings with "
                                "which it was begun")  # fmt: skip

    @property
    def num_wanted(self) -> int:
        """Returns the number of trials, at most all combinations."""
        size = self.space.size
        default = size if self.config.sampler == "grid" and size else DEFAULT_TRIALS
        wanted = self.config.trials or default
        return wanted if size is None else min(wanted, size)

    @contextlib.contextmanager
    def choosing(self) -> Iterator[None]:
        """Wait for the lock of the folder, and hold it."""
        path = self.folder / "search"
        while (descriptor := self.locked(path)) is None:
            time.sleep(WAIT_SECONDS)
        try:
            yield
        finally:
            release(path.with_name(path.name + ".lock"), descriptor)

    def locked(self, path: Path) -> int | None:
        """Lock `path`. Returns the descriptor of the lock, or None if another process has it."""
        try:
            descriptor = acquire(path.with_name(path.name + ".lock"), path)
        except UserError:
            return None
        if descriptor is None:
            raise UserError(f"{self.folder} is on a file system without locks, so trials cannot be shared: give "
                            "another --folder")  # fmt: skip
        return descriptor

    def path(self, number: int) -> Path:
        """Returns the path of a trial's files, without an ending."""
        return self.folder / f"trial-{number:03}"

    def latest(self) -> dict[int, FrozenTrial]:
        """Returns Optuna's latest trial for each of our trials, by our number."""
        trials = self.study.get_trials(deepcopy=False)
        found = {trial.user_attrs["trial"]: trial for trial in trials if "trial" in trial.user_attrs}
        return dict(sorted(found.items()))

    def trials(self) -> list[Trial]:
        """Returns all trials that were started."""
        return [
            Trial(
                number, STATES.get(trial.state, "running"), decoded(self.space, trial.user_attrs["params"]),
                trial.value if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
                trial.user_attrs.get("result", {}),
            )
            for number, trial in self.latest().items()
        ]  # fmt: skip

    def is_done(self) -> bool:
        """Returns whether no trial is left to start or running."""
        trials = self.latest().values()
        return len(trials) >= self.num_wanted and all(trial.state.is_finished() for trial in trials)

    def claim(self) -> Claim | None:
        """Returns a trial to run, an interrupted one first. None if there is none, at least for now."""
        with self.choosing():
            for _ in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                suggest(self.study.ask(), self.space)  # its process was killed before it could start
            trials = self.latest()
            for number, trial in trials.items():
                if trial.state.is_finished():
                    continue
                lock = self.locked(self.path(number))
                if lock is not None:
                    params = trial.user_attrs["params"]
                    self.enqueue(number, params)
                    self.study.tell(trial.number, state=TrialState.FAIL)
                    return Claim(self, number, self.ask(), lock, is_interrupted=True)
            if len(trials) >= self.num_wanted:
                return None
            number = max(trials, default=0) + 1
            lock = self.locked(self.path(number))
            if lock is None:
                raise UserError(f"{self.path(number)}.lock is held by another process, but {JOURNAL} does not know "
                                "its trial: stop that process, or give another --folder")  # fmt: skip
            return Claim(self, number, self.new(number, trials), lock)

    def new(self, number: int, trials: Mapping[int, FrozenTrial]) -> optuna.Trial:
        """Returns a new trial, with a combination that no earlier one has."""
        tried = {key(decoded(self.space, trial.user_attrs["params"])) for trial in trials.values()}
        sampler = self.config.sampler
        if sampler not in ("grid", "random"):
            self.study.sampler = make_sampler(sampler, self.config.seed, len(trials))
            trial = self.study.ask()
            params = suggest(trial, self.space)
            if key(decoded(self.space, params)) not in tried:
                trial.set_user_attr("params", params)
                trial.set_user_attr("trial", number)
                return trial
            self.study.tell(trial, state=TrialState.FAIL)  # the sampler repeats itself, so take a random combination
        in_order = sampler == "grid" and self.num_wanted == self.space.size
        point = self.space.untried(tried, seed=self.config.seed, in_order=in_order)
        assert point is not None  # or there would be as many trials as combinations
        self.enqueue(number, encoded(self.space, point))
        return self.ask()

    def enqueue(self, number: int, params: dict[str, Any]) -> None:
        """Make a waiting trial of Optuna's with these values."""
        self.study.enqueue_trial(params, user_attrs={"trial": number, "params": params})

    def ask(self) -> optuna.Trial:
        """Start the waiting trial."""
        trial = self.study.ask()
        suggest(trial, self.space)
        return trial

    def importance(self) -> dict[str, float]:
        """Returns how much each setting mattered, as fractions that sum to 1, by PED-ANOVA; empty if nobody can say.

        References
        ----------
        Watanabe, Bansal and Hutter (2023), PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
        subspaces.
        """
        trials = [trial for trial in self.latest().values() if trial.state == TrialState.COMPLETE]
        if len({trial.value for trial in trials}) < 3:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        return {name: float(value) for name, value in found.items() if np.isfinite(value)}


class Claim:
    """A trial that this process runs. `lock` is the descriptor of its lock; `settings` are the varied ones, by name."""

    def __init__(
        self, study: Study, number: int, trial: optuna.Trial, lock: int, *, is_interrupted: bool = False
    ) -> None:
        self.study, self.number, self.trial, self.lock = study, number, trial, lock
        self.is_interrupted = is_interrupted
        self.settings = decoded(study.space, trial.user_attrs["params"])
        self.path = study.path(number)
        self.last_step = 0

    def should_stop(self, values: Mapping[int, float]) -> bool:
        """Report the values of the measure by epoch. Returns whether the pruner wants the trial to stop."""
        new = {step: value for step, value in values.items() if step > self.last_step}
        for step, value in sorted(new.items()):
            self.trial.report(value, step)
            self.last_step = step
        return bool(new) and self.trial.should_prune()

    def end(self, state: str, result: dict[str, Any], value: float | None = None) -> None:
        """Record that the trial is ``complete`` with a value, ``pruned`` or ``failed``, and release its lock."""
        self.trial.set_user_attr("result", result)
        found = next(each for each, name in STATES.items() if name == state)
        self.study.study.tell(self.trial, values=value if state == "complete" else None, state=found)
        self.release()

    def release(self) -> None:
        """Release the lock. If the trial has not ended, it counts as interrupted."""
        release(self.path.with_name(self.path.name + ".lock"), self.lock)


def make_sampler(name: str, seed: int, num_trials: int) -> Any:
    """Returns a sampler for the next trial, seeded such that processes do not choose alike."""
    samplers = optuna.samplers
    if name == "qmc":
        return samplers.QMCSampler(seed=seed, scramble=True)  # its place in the sequence is in the journal
    fresh = int(np.random.SeedSequence([seed, num_trials]).generate_state(1)[0])
    if name == "tpe":
        return samplers.TPESampler(seed=fresh, constant_liar=True)
    return samplers.GPSampler(seed=fresh) if name == "gp" else samplers.CmaEsSampler(seed=fresh)


def make_pruner(name: str) -> Any:
    """Returns one of Optuna's pruners."""
    pruners = optuna.pruners
    return {"none": pruners.NopPruner, "median": pruners.MedianPruner, "halving": pruners.SuccessiveHalvingPruner,
            "hyperband": pruners.HyperbandPruner}[name]()  # fmt: skip
