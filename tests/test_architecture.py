"""Who may import whom, read from the source: each folder stands on a floor, and no file looks up.

CONTRIBUTING.md shows the same table to people.
"""

import ast
import functools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "theano_rnn"

# A room is a folder of the package or a file at its top. Its files import from each other and from the floors below;
# `settings` is for all.
FLOORS = (
    {"settings"},
    {"text", "sound", "images", "engine"},
    {"nn", "learning", "generation", "preprocessing"},
    {"model", "training", "scoring", "search"},
    {"tasks", "view"},
    {"language_model", "classifier", "translator", "recognizer", "captioner"},
    {"serving", "exchange"},
    {"cli"},
    {"api"},
    {"__init__", "__main__"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS, start=1) for room in rooms}

WEB = {f"serving.web{which}" for which in ("", "_captioner", "_classifier", "_common", "_recognizer", "_translator")}

# Packages from elsewhere, and the rooms or files that may import them; NumPy is for all.
OUTSIDE = {
    "aesara": {
        "engine",
        "nn",
        "learning.averaging",
        "learning.gradients",
        "learning.optimizers",
        "learning.trainable",
        "model",
        "scoring.dynamic_evaluation",
        "tasks",
        "view.gradient_flow",
    },
    "jax": {"engine"},
    "nltk": {"text.words", "text.nltk_words"},
    "tokenizers": {"text.subwords"},
    "safetensors": {"learning.checkpoint", "exchange.state_dict_files", "images.feature_files"},
    "onnx": {"exchange.onnx_export"},
    "tqdm": {"cli"},
    "matplotlib": {"view.plots"},
    "optuna": {"search.study"},
    "tensorboard": {"view.events"},
    "tomli": {"cli.options"},
    "sacrebleu": {"scoring.bleu"},
    "sounddevice": {"cli.microphone"},
    "PIL": {"images.reading"},
    "soundfile": {"sound.audio"},
    "argparse": {"cli"},
    "fastapi": WEB,
    "starlette": WEB,
    "pydantic": WEB,
    "uvicorn": {"cli.serve", "serving.connections"},
}

# What may be called in one room or file only.
CALLS = {"print": "cli", "input": "cli", "aesara.scan": "nn.unrolling", "T.grad": "model", "aesara.grad": "model"}

MOST_LINES = 300  # of a file; tables of conversions aside
TABLES = {"engine.conversions"}
CHAPTER_LINES = {"model": 250}


def name_of(path):
    """The dotted name of a file within the package: `nn.cells.lstm`, and of a folder's `__init__` the folder's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(name):
    return name.split(".")[0]


@functools.cache
def tree_of(name):
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


@functools.cache
def imported(name):
    """Dotted names of all that a file imports, also inside functions; `from a import b` gives a.b."""
    found = []
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@functools.cache
def files_imported(name):
    """The files of the package that a file imports."""
    found = set()
    for dotted in imported(name):
        first, *rest = dotted.split(".")
        if first == "theano_rnn":
            parts = rest
            while parts and ".".join(parts) not in FILES:
                parts = parts[:-1]
            found.add(".".join(parts) or "__init__")
    return found - {name}


@functools.cache
def calls(name):
    """What a file calls, as it is written: `print`, `aesara.scan`."""
    return [ast.unparse(node.func) for node in ast.walk(tree_of(name)) if isinstance(node, ast.Call)]


def test_every_room_stands_on_one_floor():
    assert {room_of(name) for name in FILES} == set(FLOOR_OF)
    assert len(FLOOR_OF) == sum(map(len, FLOORS))


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_from_its_own_room_and_from_floors_below(name):
    for other in files_imported(name):
        if other == "__init__":  # the version
            continue
        is_below = FLOOR_OF[room_of(other)] < FLOOR_OF[room_of(name)]
        assert is_below or room_of(other) == room_of(name), f"{name} imports {other}"


def test_files_form_no_circle():
    remaining = {name: set(files_imported(name)) - {"__init__"} for name in FILES}
    while remaining:
        free = [name for name, others in remaining.items() if not others & set(remaining)]
        assert free, f"circle among {sorted(remaining)}"
        for name in free:
            del remaining[name]


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_only_those_outside_packages_that_it_owns(name):
    outside = {dotted.split(".")[0] for dotted in imported(name)} - {"theano_rnn", "numpy"}
    restricted = {package for package in outside if package in OUTSIDE or package not in sys.stdlib_module_names}
    assert restricted <= {package for package, owners in OUTSIDE.items() if {name, room_of(name)} & owners}


@pytest.mark.parametrize(("call", "owner"), CALLS.items(), ids=CALLS)
def test_a_call_stands_only_where_it_may(call, owner):
    assert all(owner in (name, room_of(name)) for name in FILES if call in calls(name))


def test_the_scan_and_the_gradient_are_each_called_once():
    found = [call for name in FILES for call in calls(name) if call in ("aesara.scan", "T.grad")]
    assert sorted(found) == ["T.grad", "aesara.scan"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_short_enough_to_be_read(name):
    num_lines = len(FILES[name].read_text(encoding="utf-8").splitlines())
    assert num_lines <= CHAPTER_LINES.get(name, MOST_LINES) or name in TABLES


def test_the_floors_are_those_that_contributors_read():
    """CONTRIBUTING.md has a table `| floor | rooms |`."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d \| (.+) \|$", text, re.MULTILINE)
    assert [set(rooms.split(", ")) for rooms in reversed(rows)] == list(FLOORS[:-1])
