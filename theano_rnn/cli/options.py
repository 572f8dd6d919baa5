"""Create command-line flags from the settings' dataclasses, and settings from flags and a TOML file."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from theano_rnn.cli.suggestions import suggestion
from theano_rnn.settings.base import Section, UserError, from_mapping

PRESETS = ("auto", "none")  # besides the recipes
RECIPES = Path(__file__).parents[1] / "recipes"


class Parser(argparse.ArgumentParser):
    """An argument parser that accepts no abbreviations and reports an error in one line.

    If `basic` names some of the settings, ``--help`` shows their flags only, and ``--help-all`` shows all.
    """

    def __init__(self, *, basic: Collection[str] = (), **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs["description"] = textwrap.fill(kwargs.get("description") or "", 79)  # the examples stay as they are
        super().__init__(allow_abbrev=False, **kwargs)
        self.basic, self.shows_all = {"help", "help_all", *basic}, not basic
        if basic:
            self.add_argument("--help-all", action=HelpAll, nargs=0, help="show all flags and exit")

    def format_help(self) -> str:
        if self.shows_all:
            return super().format_help()
        hidden = {action: action.help for action in self._actions if action.dest not in self.basic}
        try:
            for action in hidden:
                action.help = argparse.SUPPRESS
            return super().format_help()
        finally:
            for action, text in hidden.items():
                action.help = text

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: "):
            flags = [flag for action in self._actions for flag in action.option_strings]
            message += suggestion(message.partition(": ")[2] if "--prompt" in flags else message.split()[2], flags)
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class HelpAll(argparse.Action):
    """Prints all flags of a `Parser`."""

    def __call__(self, parser: Any, *_: Any) -> None:
        parser.shows_all = True
        parser.print_help()
        parser.exit()


def flag(name: str) -> str:
    """Returns the flag of a setting: ``batch_size`` -> ``--batch-size``."""
    return "--" + name.replace("_", "-")


def settings_of(section: type[Section]) -> list[dataclasses.Field[Any]]:
    """Returns the fields of a section that are flags. The others are set by the program."""
    return [item for item in dataclasses.fields(section) if item.metadata]


def add_flags(
    parser: argparse.ArgumentParser,
    title: str,
    section: type[Section],
    *,
    only: type[Section] | None = None,
    exclude: type[Section] | None = None,
    known: Collection[str] = (),
    other_defaults: Mapping[str, str] | None = None,
) -> set[str]:
    """Add a flag for each setting, with the default in its help. Returns the names of the settings.

    A flag that the user leaves out sets no attribute. `only`, `exclude`: add only, or leave out, the settings that
    `section` inherits from this section; `known`: names that already have flags; `other_defaults`: defaults of other
    tasks, as text, by name.
    """
    group = parser.add_argument_group(title)
    names = {item.name for item in dataclasses.fields(only or section)} - set(known)
    names -= {item.name for item in dataclasses.fields(exclude)} if exclude else set()
    for item in settings_of(section):
        if item.name not in names:
            continue
        rules = item.metadata
        text = rules["help"].replace("%", "%%")
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
        more = "; " + other_defaults[item.name] if other_defaults and item.name in other_defaults else ""
        if rules["kind"] is bool:
            options["action"] = argparse.BooleanOptionalAction if item.default else "store_true"
            options["help"] += f" (default: yes{more})" if item.default else ""
            group.add_argument(flag(item.name), **options)
            continue
        if item.default is not None and rules["kind"] is not tuple:
            options["help"] += f" (default: {item.default}{more})"
        elif more and text.endswith(")"):  # its help says what the default depends on
            options["help"] = f"{text[:-1]}{more})"
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
    """Returns the settings that the user gave, by name: flags, which override the file of ``--config``.

    Only settings of `sections` and names in `others` are included.

    Raises
    ------
    UserError
        ``--config`` names neither a file nor a recipe, the file is not valid TOML, or a name in it is not a setting.
    """
    known = {*others, *(item.name for section in sections for item in settings_of(section))}
    values: dict[str, Any] = {}
    preset, config = getattr(args, "preset", None), getattr(args, "config", None)
    if preset is not None and preset not in (*PRESETS, *recipes()):
        raise UserError(f"--preset {preset}: no such preset. It is one of {', '.join([*PRESETS, *recipes()])}")
    for named in filter(None, (recipes().get(str(preset)), config and settings_file(config))):
        for name, value in read_toml(named).items():
            if name.replace("-", "_") not in known:
                raise UserError(f"{config}: {name!r} is not a setting: use the names of the flags (see --help)")
            values[name.replace("-", "_")] = value
    if config in recipes() and "preset" in known:
        values.setdefault("preset", config)  # a recipe has all settings of a run
    return values | {name: value for name, value in vars(args).items() if name in known}


def recipes() -> dict[str, Path]:
    """Returns the TOML file of each recipe in the package, by the recipe's name."""
    return {path.stem: path for path in sorted(RECIPES.glob("*.toml"))}


def settings_file(name: str) -> Path:
    """Returns the file that ``--config`` names: the file of that name if it exists, else the recipe of that name.

    Raises
    ------
    UserError
        There is neither a file nor a recipe of that name.
    """
    path, recipe = Path(name), recipes().get(name)
    if path.is_file() or (path.exists() and recipe is None):  # a folder, for example austen/, does not hide a recipe
        return path
    if recipe is None:
        raise UserError(f"--config {name}: no such file or recipe. Give a TOML file, or one of the recipes: "
                        f"{', '.join(recipes())}")  # fmt: skip
    return recipe


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file into a flat mapping. Tables may group the settings; the names of tables are ignored."""
    flat: dict[str, Any] = {}
    for name, value in read_tables(path).items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def read_tables(path: str | Path) -> dict[str, Any]:
    """Read a TOML file. Raises `UserError` if it is not TOML."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        text = Path(path).read_text(encoding="utf-8").replace("\ufeff", "")  # byte order marks
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None


def sections_from(values: Mapping[str, Any], sections: Mapping[str, type[Section]]) -> dict[str, Any]:
    """Create the object of each section from settings by name. Errors name the flag."""
    objects = {}
    for key, section in sections.items():
        try:
            objects[key] = from_mapping(section, values)
        except UserError as error:
            raise with_flag_name(error) from None
    return objects


def with_flag_name(error: UserError) -> UserError:
    """Replace the setting's name at the start of an error message by its flag. Returns the new error."""
    name, _, rest = str(error).partition(" ")
    return UserError(f"{flag(name)} {rest}")
