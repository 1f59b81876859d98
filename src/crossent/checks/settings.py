"""`[tool.crossent.check]` of pyproject.toml: which rules, which files; what the command line says goes first."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ..errors import OptionError
from .rules import RULES, known

__all__ = ["Settings", "chosen_rules", "settings_for"]

TABLE = "tool.crossent.check"


@dataclass(frozen=True)
class Settings:
    """What to look for and where; `root` is the folder of the file that says so."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    possible: bool = False
    notes: bool = False
    respect_gitignore: bool = True
    root: str = ""

    def merged(self, other: Settings) -> Settings:
        """These settings under those of the command line, which replace lists and add to what is left out."""
        return replace(
            self,
            select=other.select or self.select,
            ignore=(*self.ignore, *other.ignore),
            exclude=(*self.exclude, *other.exclude),
            possible=self.possible or other.possible,
            notes=self.notes or other.notes,
            respect_gitignore=self.respect_gitignore and other.respect_gitignore,
        )

    @property
    def everything(self) -> Settings:
        """The same with every rule, note and possible finding, but for what the project ignores."""
        return replace(self, select=(), possible=True, notes=True)

    def excluded(self, path: str) -> bool:
        """Whether a file or folder is left out: a pattern fits its name, its path, or a folder above it."""
        return any(self._fits(path, pattern) for pattern in self.exclude)

    def ignores(self, rule: str, path: str) -> bool:
        """Whether a rule is off, everywhere or in this file."""
        here = [rules for pattern, rules in self.per_file_ignores.items() if self._fits(path, pattern)]
        return _among(rule, self.ignore) or any(_among(rule, rules) for rules in here)

    def wants(self, rule: str) -> bool:
        """Whether a rule was selected: all are, unless some are named."""
        return not self.select or _among(rule, self.select)

    def names(self, rule: str) -> bool:
        """Whether a rule was selected by its own name, which asks for its notes too."""
        return rule in self.select

    def _fits(self, path: str, pattern: str) -> bool:
        """Whether a glob fits a path below the root, one of its folders, or a name alone."""
        relative = os.path.relpath(path, self.root or None).replace(os.sep, "/")
        pattern = pattern.removeprefix("./").rstrip("/")
        parts = relative.split("/")
        heads = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        return any(fnmatch(head, pattern) for head in heads) or ("/" not in pattern and pattern in parts)


def _among(rule: str, names: Iterable[str]) -> bool:
    """Whether a rule is named, in full, by its beginning (X01), or as ALL."""
    return any(name in (rule, "ALL") or (name in PREFIXES and rule.startswith(name)) for name in names)


PREFIXES = frozenset(rule[:length] for rule in RULES for length in range(1, len(rule)))


def chosen_rules(words: Iterable[str], where: str) -> tuple[str, ...]:
    """Identifiers of rules, or their beginnings, as users write them: any case, with commas.

    Raises
    ------
    OptionError
        For what names no rule.
    """
    names = [name.strip() for word in words for name in word.split(",") if name.strip()]
    result = []
    for name in names:
        rule = known(name) or (name.upper() if name.upper() in PREFIXES or name.upper() == "ALL" else None)
        if rule is None:
            raise OptionError(f"{where}: {name} is no rule; `crossent check --explain all` lists them")
        result.append(rule)
    return tuple(result)


def settings_for(path: str | os.PathLike[str], cache: dict[str, Settings] | None = None) -> Settings:
    """The settings of the nearest pyproject.toml at or above a path that has the table; the defaults if none has.

    Raises
    ------
    OptionError
        For a table that cannot be read, or a key, type or rule that there is not.
    """
    cache = {} if cache is None else cache
    here = Path(path).absolute()
    folders = [here, *here.parents] if here.is_dir() else list(here.parents)
    passed: list[str] = []
    result = Settings()
    for folder in folders:
        key = str(folder)
        if key in cache:
            result = cache[key]
            break
        passed.append(key)
        table = _table(folder / "pyproject.toml")
        if table is not None:
            result = _settings(table, folder)
            break
    cache.update(dict.fromkeys(passed, result))
    return result


def _table(path: Path) -> dict[str, Any] | None:
    """The table of a pyproject.toml, if the file and the table are there."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if "crossent" not in text:
        return None
    try:
        content: Any = _toml(text)
    except ValueError as error:
        raise OptionError(f"{path}: cannot be read as TOML: {error}") from None
    for name in TABLE.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else None


def _toml(text: str) -> Any:
    return importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli").loads(text)


def _settings(table: dict[str, Any], folder: Path) -> Settings:
    """The table, checked key by key."""
    where = f"{folder / 'pyproject.toml'}: [{TABLE}]"
    names = {one.name.replace("_", "-"): one.name for one in fields(Settings) if one.name != "root"}
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = names.get(key.replace("_", "-"))
        if name is None:
            raise OptionError(f"{where} has no key {key!r}: the keys are {', '.join(names)}")
        values[name] = _value(name, value, f"{where} {key}")
    return Settings(**values, root=str(folder))


def _value(name: str, value: Any, where: str) -> Any:
    """One value, of the type that its key wants."""
    if name in ("possible", "notes", "respect_gitignore"):
        if not isinstance(value, bool):
            raise OptionError(f"{where} is {value!r}, expected true or false")
        return value
    if name == "per_file_ignores":
        if not isinstance(value, dict):
            raise OptionError(f"{where} is {value!r}, expected a table of patterns and rules")
        return {pattern: chosen_rules(_strings(rules, where), where) for pattern, rules in value.items()}
    words = _strings(value, where)
    return tuple(words) if name == "exclude" else chosen_rules(words, where)


def _strings(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise OptionError(f"{where} is {value!r}, expected a list of strings")
    return value
