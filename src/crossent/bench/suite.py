"""A suite from its cases to table, JSON and picture."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from crossent._system import files
from crossent.errors import OptionError

from . import machine, table
from .cases import COMPILED, MEMORY_SUITES, MEMORY_SWEEPS, SUITES, SWEEPS, Case, shrunk
from .memory import measure_memory
from .results import BYTES, SECONDS, Result, as_json
from .run import Plan, run

__all__ = ["Options", "run_suite", "selected"]

CASE_SECONDS = {"cpu": 4.0, "softmax": 3.0, "small": 10.0, "linear": 10.0, "jax": 6.0}
QUICK_SECONDS, QUICK_SHRINK = 0.6, 8


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    only: str | None = None
    quick: bool = False
    runs: int | None = None
    threads: int | None = None
    json_file: Path | None = None
    plot_file: Path | None = None
    shrink: int = 1


def run_suite(suite: str, options: Options, command: str) -> None:
    """Measure the suite, printing the table as it grows; then write what was asked for."""
    timed, weighed = cases_of(suite, options)
    for file in (options.json_file, options.plot_file):
        if file is not None and not file.absolute().parent.is_dir():
            raise OptionError(f"{file}: there is no folder {file.absolute().parent}")
    threads = machine.set_threads(options.threads)
    about = machine.describe(threads)
    for line in (command, *machine.lines(about)):
        click.echo(line)
    results = [
        *_shown(timed, SECONDS, lambda case, say: run(case, _plan(suite, options), say)),
        *_shown(weighed, BYTES, lambda case, say: measure_memory(case, threads, say)),
    ]
    for line in table.summary(results):
        click.echo(line)
    _write(suite, options, command, about, results)


def cases_of(suite: str, options: Options) -> tuple[list[Case], list[Case]]:
    """The cases to time and those to take the peak memory of."""
    curves = options.plot_file is not None
    shrink = options.shrink * (QUICK_SHRINK if options.quick else 1)
    timed, weighed = (
        [
            shrunk(case, shrink)
            for case in selected([*cases.get(suite, []), *sweeps.get(suite, []) * curves], options.only)
        ]
        for cases, sweeps in ((SUITES, SWEEPS), (MEMORY_SUITES, MEMORY_SWEEPS))
    )
    if not timed and not weighed:
        names = "\n  ".join(case.name for case in [*SUITES.get(suite, []), *MEMORY_SUITES.get(suite, [])])
        raise OptionError(f"--only {options.only!r} matches no case of {suite}; the cases are\n  {names}")
    return timed, weighed


def selected(cases: Iterable[Case], pattern: str | None) -> list[Case]:
    """The cases whose name has the text, or matches the pattern.

    >>> [case.name for case in selected(SUITES["cpu"], "bfloat16")]
    ['cross_entropy bfloat16 4096×32000, torch, forward + backward']
    """
    return [case for case in cases if pattern is None or fnmatch.fnmatch(case.name, f"*{pattern}*")]


def _plan(suite: str, options: Options) -> Plan:
    """How long to measure, and what to leave out: a compilation takes longer than a quick look."""
    if options.quick or options.shrink > 1:
        return Plan(QUICK_SECONDS, options.runs, frozenset({COMPILED}))
    return Plan(CASE_SECONDS[suite], options.runs)


def _shown(
    cases: Sequence[Case], unit: str, measured: Callable[[Case, Callable[[str], object]], Result]
) -> Iterator[Result]:
    """Measure case by case, print each, and show on stderr what is being done."""
    from tqdm import tqdm

    if not cases:
        return
    click.echo(f"\n{table.heading(unit)}")
    with tqdm(cases, leave=False, disable=None, bar_format="{n_fmt}/{total_fmt} [{elapsed}] {desc}") as bar:
        for case in bar:

            def say(what: str, case: Case = case) -> None:
                bar.set_description_str(f"{case.name}: {what}")

            result = measured(case, say)
            with bar.external_write_mode():
                for line in table.block(result):
                    click.echo(line)
            yield result


def _write(suite: str, options: Options, command: str, about: dict[str, Any], results: Sequence[Result]) -> None:
    """The files that were asked for."""
    if options.json_file is not None:
        given = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
        content = as_json(suite, command, about, given, results)
        files.write(options.json_file, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    if options.plot_file is not None:
        from .plot import draw

        draw(results, "\n".join((command, next(machine.lines(about)))), options.plot_file)
