"""The report's words: English as written in the code, and their Chinese."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files

__all__ = ["LANGUAGES", "translator"]

LANGUAGES = {"en": "en", "zh": "zh-CN"}  # and what HTML calls them


def translator(language: str) -> Callable[..., str]:
    """A function from an English sentence, with its values, to the same in another language.

    A sentence that has no translation stays English.

    Example:
        >>> translator("zh")("Learning curves"), translator("en")("{n} rows", n=3)
        ('学习曲线', '3 rows')
    """
    table = {} if language == "en" else _table(language)

    def translate(sentence: str, **values: object) -> str:
        found = table.get(sentence, sentence)
        return found.format(**values) if values else found

    return translate


@cache
def _table(language: str) -> dict[str, str]:
    """The sentences of a language."""
    content = files(__package__).joinpath(f"language_{language}.json").read_text(encoding="utf-8")
    table: dict[str, str] = json.loads(content)
    return table
