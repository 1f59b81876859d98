"""The blocks of code in Markdown pages, and how they are run: as doctests, as programs, as commands."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
import warnings
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
OPTIONAL = ("jax", "optax", "transformers", "lightning", "keras", "liger_kernel", "skorch")


@dataclass(frozen=True)
class Block:
    """A fenced block and the line that it begins on."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, those within directives too."""
    return list(_within(page.read_text(encoding="utf-8"), 1))


def _within(text: str, start: int) -> Any:
    for found in FENCE.finditer(text):
        line = start + text.count("\n", 0, found.start()) + 1
        if found["language"].startswith("{"):
            yield from _within(found["text"], line)
        else:
            yield Block(found["language"].strip(), found["text"], line)


def missing(text: str) -> str | None:
    """The first optional library that the code imports and that is not installed."""
    named = re.findall(r"^(?:>>> )?(?:import|from) (\w+)", text, re.M)
    return next((name for name in named if name in OPTIONAL and not importlib.util.find_spec(name)), None)


def run_python(page: Path, found: list[Block]) -> int:
    """Run a page's Python in one namespace, in order; the number of blocks that ran."""
    names: dict[str, Any] = {"__name__": "__main__"}
    wanted = [block for block in found if block.language in ("python", "pycon") and not missing(block.text)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MisuseWarning)  # some pages show what is wrong
        for block in wanted:
            run_block(page, block, names)
    return len(wanted)


def run_block(page: Path, block: Block, names: dict[str, Any]) -> None:
    """Run one block: what it shows must come out, what it asserts must hold."""
    if ">>> " not in block.text:
        exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(block.text, {}, page.name, str(page), block.line)
    test.globs = names
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
