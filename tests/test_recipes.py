"""Recipes: complete, no other than the flags allow, the defaults in one of them, and the same bytes twice."""

import argparse
import dataclasses
import re
from pathlib import Path

import pytest
from conftest import ENGINES
from tiny_runs import SIZES, sentences

from theano_rnn.cli.main import command
from theano_rnn.cli.options import given_settings, recipes, sections_from, settings_file
from theano_rnn.cli.run_settings import COMMON_SECTIONS, all_sections
from theano_rnn.learning.checkpoint import load
from theano_rnn.settings.base import UserError
from theano_rnn.settings.training import resolved_head
from theano_rnn.tasks.registry import TASKS

RECIPES = recipes()
NAMES = {"austen", "ptb-cpu-15min", "ptb-cpu-60min", "ptb-small", "ptb-medium", "ptb-awd", "char-cpu-30min",
         "char-shakespeare", "novels", "sentence-polarity"}  # fmt: skip
REPEATED = {"austen", "char-shakespeare", "ptb-awd", "novels"}  # every optimizer, head, unit, dropout and task


def settings_in(name):
    known = [section for _, section in all_sections()]
    return given_settings(argparse.Namespace(config=name), known, others=("task",))


def sections_of(name):
    named = settings_in(name)
    return sections_from(named, {**TASKS[named.get("task", "next")].sections, **COMMON_SECTIONS})


def test_these_are_the_recipes():
    assert set(RECIPES) == NAMES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is_for(name):
    text = RECIPES[name].read_text()
    assert all(f"\n# {title}  " in text for title in ("Corpus", "Published", "Reached"))
    assert f" --config {name} " in text.replace("\n", " ")
    assert sections_of(name)["training"].seed == 1


def test_a_recipe_is_found_by_its_name_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings_file("austen") == RECIPES["austen"]
    assert settings_file(str(RECIPES["austen"])) == RECIPES["austen"]
    Path("austen").mkdir()
    assert settings_file("austen") == RECIPES["austen"]
    Path("ptb-small").write_text("epochs = 2")
    assert settings_file("ptb-small") == Path("ptb-small")
    with pytest.raises(UserError, match="^--config ptb: no such file or recipe") as caught:
        settings_file("ptb")
    assert str(caught.value).endswith(": " + ", ".join(sorted(NAMES)))


@pytest.mark.parametrize("name", RECIPES)
def test_only_a_recipe_named_by_minutes_depends_on_the_clock(name):
    minutes = re.search(r"(\d+)min", name)
    assert sections_of(name)["run"].max_seconds == (60 * int(minutes[1]) if minutes else None)


def test_the_defaults_of_a_classifier_are_the_recipe_for_reviews():
    defaults, recipe = sections_from({}, TASKS["classify"].sections), sections_of("sentence-polarity")
    assert {name: recipe[name] for name in defaults} == defaults


def test_the_defaults_are_the_recipe_for_the_novels_but_for_its_optimizer():
    defaults, recipe = sections_from({}, {**TASKS["next"].sections, **COMMON_SECTIONS}), sections_of("austen")
    assert recipe["run"].preset == "austen"  # nothing is chosen for the size of the text
    with_adam = dataclasses.replace(recipe["training"], optimizer="adam", weight_decay=0.0)
    assert recipe | {"model": None, "run": None, "training": with_adam} == defaults | {"model": None, "run": None}
    assert recipe["model"] == resolved_head(recipe["model"]) == resolved_head(defaults["model"])


@pytest.fixture
def no_xla_cache():
    """Every function is compiled again, as in another process of a user."""
    jax = pytest.importorskip("jax")
    from jax.experimental.compilation_cache import compilation_cache

    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    compilation_cache.reset_cache()


@pytest.mark.slow
@pytest.mark.usefixtures("no_xla_cache")
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_and_gives_the_same_bytes_again(name, tmp_path, monkeypatch, capsys):
    """A small network on a small text, with all other settings of the recipe; twice for each optimizer and task."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    is_labelled = settings_in(name).get("task") == "classify"
    marks = [f"{'ab'[number % 2]}\t" if is_labelled else "" for number in range(40)]
    Path("text.txt").write_text("\n".join(map("".join, zip(marks, sentences(40)))))
    head = ["--cutoffs", "5"] if getattr(sections_of(name)["model"], "cutoffs", ()) else []
    steps = [] if is_labelled else ["--bptt-steps", "10"]
    line = ["--config", name, *SIZES, *head, "--batch-size", "4", *steps, "--epochs", "1",
            "--train", "text.txt", "--valid", "text.txt", "--engine", ENGINES[-1]]  # fmt: skip
    runs = ("first", "second") if name in REPEATED else ("first",)
    for run in runs:
        status = command("train", [*line, "--checkpoint", f"{run}.safetensors"], prog="train")
        assert status == 0, capsys.readouterr().err
    assert load("first.safetensors").progress["epoch"] == 1
    assert len(runs) == 1 or Path("first.safetensors").read_bytes() == Path("second.safetensors").read_bytes()
