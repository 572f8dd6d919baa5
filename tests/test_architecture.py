"""Who may import whom, read from the source: no module of the package may know more than its table says."""

import ast
import functools
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "theano_rnn"

# Modules of the package, and which others each may import. A folder is one entry; `cli` may import everything.
MAY_IMPORT = {
    "__init__": {"aesara_flags"},
    "config": set(),
    "numpy2": set(),
    "aesara_flags": {"config", "numpy2"},
    "freed_memory": set(),
    "pages": set(),
    # text
    "detokenizing": set(),
    "vocabulary": {"config"},
    "preprocessing": {"config", "detokenizing", "vocabulary"},
    "sources": {"config"},
    "reading": {"config", "preprocessing", "sources"},
    "tokenized_cache": set(),
    "worker_processes": {"config", "preprocessing", "reading"},
    "tokenizing": {"config", "preprocessing", "reading", "sources", "tokenized_cache", "worker_processes"},
    "continuing": {"preprocessing"},
    "corpus": {"config", "continuing", "preprocessing", "reading", "sources", "tokenized_cache", "tokenizing"},
    "batching": {"preprocessing"},
    # model
    "initializers": set(),
    "losses_c": set(),
    "noise": set(),
    "losses": {"losses_c"},
    "optimizers": set(),
    "updates": {"optimizers"},
    "schedules": {"config"},
    "cells": {"initializers"},
    "static_shapes": set(),
    "engine": {"aesara_flags", "config", "static_shapes"},
    "unrolling": {"static_shapes"},
    "layers": {"cells", "unrolling"},
    "heads": {"initializers", "losses"},
    "adaptive_head": {"heads", "initializers", "losses"},
    "regularization": {"config", "noise"},
    "model": {
        "adaptive_head", "config", "engine", "heads", "initializers", "layers", "losses", "noise", "optimizers",
        "regularization", "static_shapes", "updates",
    },
    "encoder": {"cells", "layers", "unrolling"},
    "cloze": {"batching", "config", "initializers", "layers", "model", "preprocessing", "regularization"},
    # use
    "checkpoint": {"config", "model", "preprocessing"},
    "sampling": set(),
    "generation": {"config", "sampling"},
    "text_generation": {"config", "generation", "preprocessing"},
    "alignment": {"preprocessing"},
    "gradient_flow": {"layers", "model", "unrolling"},
    "plots": {"config"},
    "events": {"config"},
    "inspection": {"alignment", "sampling"},
    "look_page": {"alignment", "inspection", "pages"},
    "interpolation": {"batching", "scoring"},
    "neural_cache": set(),
    "onnx_export": {"cells", "checkpoint", "config", "language_model", "preprocessing"},
    "pytorch_exchange": {"cells", "checkpoint", "config", "preprocessing"},
    "state_dict_files": {
        "checkpoint", "config", "language_model", "preprocessing", "pytorch_exchange", "training",
    },
    "nbest": {"config"},
    "rescoring": {"nbest", "scoring"},
    "dynamic_evaluation": {"optimizers", "updates"},
    "language_model": {
        "aesara_flags", "batching", "checkpoint", "cloze", "config", "model", "preprocessing", "scoring",
        "text_generation",
    },
    "text_scoring": {
        "checkpoint", "config", "corpus", "dynamic_evaluation", "language_model", "neural_cache", "scoring",
    },
    "scoring": {"batching", "preprocessing"},
    "columns": set(),
    "model_columns": {"columns", "generation", "sampling"},
    "typed_text": {"alignment", "config", "preprocessing", "reading"},
    "playing": {"alignment", "columns", "config", "generation", "language_model", "model_columns", "typed_text"},
    "web_guard": set(),
    "web": {"columns", "config", "pages", "playing", "web_guard"},
    "training": {"batching", "checkpoint", "config", "optimizers", "schedules", "scoring"},
    "cli": ...,
}

# Packages from elsewhere, and the modules that may import them; NumPy is for all.
OUTSIDE = {
    "aesara": {
        "gradient_flow",
        "adaptive_head", "cells", "cloze", "dynamic_evaluation", "encoder", "engine", "heads", "layers", "losses",
        "model", "noise", "optimizers", "regularization", "static_shapes", "unrolling",
    },
    "jax": {"engine"},
    "nltk": {"preprocessing"},
    "safetensors": {"checkpoint", "state_dict_files"},
    "onnx": {"onnx_export"},
    "tqdm": {"cli"},
    "matplotlib": {"plots"},
    "tensorboard": {"events"},
    "tomli": {"cli"},
    "argparse": {"cli"},
    "fastapi": {"web"},
    "starlette": {"web"},
    "pydantic": {"web"},
    "uvicorn": {"cli"},
}

# What may be called in one module only.
CALLS = {
    "print": {"cli"}, "input": {"cli"}, "aesara.scan": {"unrolling"}, "T.grad": {"model"}, "aesara.grad": {"model"},
}  # fmt: skip

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path):
    """The entry of MAY_IMPORT for a file: its first folder, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def trees(module):
    return [ast.parse(path.read_text(encoding="utf-8")) for path in FILES if module_of(path) == module]


def imports(module):
    """Dotted names of all that a module imports, also inside functions; `from a import b` gives a.b."""
    for tree in trees(module):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: relative import"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def calls(module):
    """What a module calls, as it is written: `print`, `aesara.scan`."""
    nodes = [node for tree in trees(module) for node in ast.walk(tree)]
    return [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]


def test_the_table_names_the_modules_that_exist():
    assert {module_of(path) for path in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", [module for module, allowed in MAY_IMPORT.items() if allowed is not ...])
def test_a_module_imports_from_the_package_only_what_the_table_allows(module):
    names = [name.split(".") for name in imports(module)]
    inside = {name[1] for name in names if name[0] == "theano_rnn" and name[1:2] != [module]}
    assert inside <= MAY_IMPORT[module]


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_a_module_imports_from_elsewhere_only_what_the_table_allows(module):
    outside = {name.split(".")[0] for name in imports(module)} - {"theano_rnn", "numpy"}
    restricted = {name for name in outside if name in OUTSIDE or name not in sys.stdlib_module_names}
    assert restricted <= {name for name, modules in OUTSIDE.items() if module in modules}


@pytest.mark.parametrize(("call", "allowed"), CALLS.items(), ids=CALLS)
def test_a_call_stands_only_where_it_may(call, allowed):
    assert {module for module in MAY_IMPORT if call in calls(module)} <= allowed


def test_the_scan_and_the_gradient_are_each_called_once():
    found = [call for module in MAY_IMPORT for call in calls(module) if call in ("aesara.scan", "T.grad")]
    assert sorted(found) == ["T.grad", "aesara.scan"]


def test_modules_of_the_package_form_no_circle():
    remaining = {module: allowed for module, allowed in MAY_IMPORT.items() if allowed is not ...}
    while remaining:
        free = [module for module, allowed in remaining.items() if not allowed & set(remaining)]
        assert free, f"circle among {sorted(remaining)}"
        for module in free:
            del remaining[module]
