"""The blocks of code in Markdown pages, and how they are run: as doctests, as programs, as commands."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from crossent.cli import main
from crossent.errors import MisuseWarning

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|:{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)(?P=fence)\s*$", re.M | re.S
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
OPTIONAL = (
    "jax",
    "flax",
    "optax",
    "transformers",
    "datasets",
    "accelerate",
    "peft",
    "trl",
    "lightning",
    "keras",
    "skorch",
)


@dataclass(frozen=True)
class Block:
    """A fenced block and the line that it begins on."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, those within directives too."""
    return list(blocks_of(page.read_text(encoding="utf-8")))


def blocks_of(text: str, start: int = 1) -> Iterator[Block]:
    """The blocks of some Markdown that begins on a line, those within directives too."""
    for found in FENCE.finditer(text):
        line = start + text.count("\n", 0, found.start()) + 1
        if found["language"].startswith("{"):
            yield from blocks_of(found["text"], line)
        else:
            yield Block(found["language"].strip(), found["text"], line)


def missing(text: str) -> str | None:
    """The first optional library that the code imports and that is not installed."""
    named = re.findall(r"^(?:>>> )?(?:import|from) (\w+)", text, re.M)
    return next((name for name in named if name in OPTIONAL and not importlib.util.find_spec(name)), None)


def runnable(found: list[Block]) -> list[Block]:
    """The blocks of Python that can run here: no library is missing that they, or blocks that they build on, need."""
    wanted, lacking = [], set[str]()
    for block in found:
        if block.language not in ("python", "pycon"):
            continue
        if missing(block.text) or lacking & names(block.text, ast.Load):
            lacking |= names(block.text, ast.Store)
        else:
            wanted.append(block)
    return wanted


def names(text: str, how: type) -> set[str]:
    """The names that a block makes (ast.Store) or uses (ast.Load)."""
    if ">>> " in text:
        text = "".join(example.source for example in doctest.DocTestParser().get_examples(text))
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name) and isinstance(node.ctx, how)}


def run_python(page: Path, found: list[Block]) -> int:
    """Run a page's Python in one namespace, in order; the number of blocks that ran."""
    space: dict[str, Any] = {"__name__": "__main__"}
    wanted = runnable(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MisuseWarning)  # some pages show what is wrong
        for block in wanted:
            run_block(page, block, space)
    return len(wanted)


def run_block(page: Path, block: Block, space: dict[str, Any]) -> None:
    """Run one block: what it shows must come out, what it asserts must hold."""
    if ">>> " not in block.text:
        exec(compile("\n" * block.line + block.text, str(page), "exec"), space)
        return
    test = doctest.DocTestParser().get_doctest(block.text, {}, page.name, str(page), block.line)
    test.globs = space
    assert doctest.DocTestRunner(optionflags=FLAGS).run(test, clear_globs=False).failed == 0, page.name


def run_commands(found: list[Block]) -> int:
    """Run the lines of shell blocks that are crossent's; the number of lines that ran."""
    ran = 0
    for block in found:
        if block.language not in ("sh", "console"):
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            command = shlex.split(line.removeprefix("$ "), comments=True)
            if command[:1] == ["crossent"]:
                outcome = CliRunner().invoke(main, command[1:], catch_exceptions=False)
                assert outcome.exit_code <= (command[1] == "check"), (line, outcome.output)
                ran += 1
    return ran
