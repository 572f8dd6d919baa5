"""Command-line flags made from the settings' dataclasses, and settings made from flags and a TOML file."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from theano_rnn.settings.base import Section, UserError, from_mapping

RECIPES = Path(__file__).parents[1] / "recipes"


class Parser(argparse.ArgumentParser):
    """argparse that accepts no abbreviations and says a mistake in one line."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def flag(name: str) -> str:
    """The flag of a setting: ``batch_size`` -> ``--batch-size``."""
    return "--" + name.replace("_", "-")


def settings_of(section: type[Section]) -> list[dataclasses.Field[Any]]:
    """The fields that are flags; others are known from elsewhere."""
    return [item for item in dataclasses.fields(section) if item.metadata]


def add_flags(
    parser: argparse.ArgumentParser,
    title: str,
    section: type[Section],
    *,
    only: type[Section] | None = None,
    but: type[Section] | None = None,
    known: Collection[str] = (),
) -> set[str]:
    """Add one flag for each setting, its help with the default; return the names of the settings.

    A flag that is not given leaves no attribute. `only`, `but`: just the settings that `section` inherits from this
    one, or all others; `known`: names that have flags already.
    """
    group = parser.add_argument_group(title)
    names = {item.name for item in dataclasses.fields(only or section)} - set(known)
    names -= {item.name for item in dataclasses.fields(but)} if but else set()
    for item in settings_of(section):
        if item.name not in names:
            continue
        rules = item.metadata
        text = rules["help"].replace("%", "%%")
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
        if rules["kind"] is bool:
            options["action"] = argparse.BooleanOptionalAction if item.default else "store_true"
            options["help"] += " (default: yes)" if item.default else ""
            group.add_argument(flag(item.name), **options)
            continue
        if item.default is not None and rules["kind"] is not tuple:
            options["help"] += f" (default: {item.default})"
        if rules["choices"]:
            options["choices"] = rules["choices"]
        elif rules["metavar"]:
            options["metavar"] = rules["metavar"]
        else:
            options["metavar"] = {int: "N", float: "X"}.get(rules["kind"], "TEXT")
        if rules["kind"] is tuple:
            options |= {"nargs": "+", "type": rules["of"]}
        elif rules["kind"] in (int, float):
            options["type"] = rules["kind"]
        group.add_argument(flag(item.name), **options)
    return names


def given_settings(
    args: argparse.Namespace, sections: Iterable[type[Section]], *, others: Sequence[str] = ()
) -> dict[str, Any]:
    """The settings by name that the user gave, in ``--config FILE.toml`` or, overriding it, as flags.

    They are those of `sections` and the `others`.

    Raises
    ------
    UserError
        ``--config`` names neither a file nor a recipe, the file is not TOML, or one of its names is not a flag.
    """
    known = {*others, *(item.name for section in sections for item in settings_of(section))}
    values: dict[str, Any] = {}
    if getattr(args, "config", None):
        for name, value in read_toml(settings_file(args.config)).items():
            if name.replace("-", "_") not in known:
                raise UserError(f"{args.config}: {name!r} is not a setting (see --help)")
            values[name.replace("-", "_")] = value
    return values | {name: value for name, value in vars(args).items() if name in known}


def recipes() -> dict[str, Path]:
    """Return the TOML file of each recipe in the package, by the recipe's name."""
    return {path.stem: path for path in sorted(RECIPES.glob("*.toml"))}


def settings_file(name: str) -> Path:
    """Return the file that ``--config`` means: the file of that name if it exists, else the recipe of that name.

    Raises
    ------
    UserError
        There is neither.
    """
    path, recipe = Path(name), recipes().get(name)
    if path.is_file() or (path.exists() and recipe is None):  # a folder, for example austen/, does not hide a recipe
        return path
    if recipe is None:
        raise UserError(f"--config {name}: no such file or recipe. Give a TOML file, or one of the recipes: "
                        f"{', '.join(recipes())}")  # fmt: skip
    return recipe


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file as a flat mapping; tables may be used to group settings, their names mean nothing."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def sections_from(values: Mapping[str, Any], sections: Mapping[str, type[Section]]) -> dict[str, Any]:
    """An object of every section, from settings by name; errors name the flag."""
    made = {}
    for key, section in sections.items():
        try:
            made[key] = from_mapping(section, values)
        except UserError as error:
            raise naming_flag(error) from None
    return made


def naming_flag(error: UserError) -> UserError:
    """An error whose message begins with a setting's name, with the flag in its place."""
    name, _, rest = str(error).partition(" ")
    return UserError(f"{flag(name)} {rest}")
