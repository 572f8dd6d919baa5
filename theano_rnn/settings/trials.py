"""Settings of a search for good settings: how many trials, and how they are chosen."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, setting


@dataclass(frozen=True)
class TrialsConfig(Section):
    """How a space of settings is searched."""

    trials: int | None = setting(
        None, "number of trials, by all processes together (default: 20; with --sampler grid, all combinations)",
        kind=int, at_least=1,
    )  # fmt: skip
    sampler: str = setting(
        "tpe",
        "how settings are chosen. grid: all combinations, or if --trials is smaller, some of them at random; random: "
        "at random; qmc: evenly spread (quasi-Monte Carlo); tpe, gp and cmaes learn from earlier trials: by densities "
        "(tree-structured Parzen estimator), Gaussian processes (needs torch) or an evolution strategy (needs cmaes)",
        choices=("grid", "random", "qmc", "tpe", "gp", "cmaes"),
    )
    pruner: str = setting(
        "none",
        "which trials are stopped early, judged after each epoch. median: those that are worse than the median of the "
        "earlier trials; halving and hyperband: all but the best quarter or third, again and again",
        choices=("none", "median", "halving", "hyperband"),
    )
    seed: int = setting(1, "random seed for choosing settings; the seed of training is a setting of its own", kind=int,
                        at_least=0)  # fmt: skip
    jobs: int = setting(
        1, "number of trials at once in this process; the cores are divided among them", kind=int, at_least=1
    )
    folder: str | None = setting(
        None, "folder for all files of the search; processes with the same folder share the trials (default: runs/NAME "
        "for NAME.toml)", metavar="FOLDER",
    )  # fmt: skip
