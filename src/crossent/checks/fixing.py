"""`crossent check --fix`: what is changed, what is not and why, in words and as a diff."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from .fixes import Plan, diff, planned, write
from .formats import PEOPLE, counted
from .settings import Settings
from .source import files_of, rules_of
from .source.project import Project
from .source.report import look_at_files
from .source.uses import Uses

__all__ = ["fix", "fix_text"]

Show = Callable[..., int]


def fix(paths: list[str], given: Settings, options: dict[str, Any], show: Show) -> int:
    """Show the changes, or make them and show what remains; the exit code."""
    settings = rules_of(given)
    plan = planned(paths, settings, unsafe=options["unsafe_fixes"])
    _say(plan, unsafe=options["unsafe_fixes"])
    if options["only_diff"]:
        click.echo(diff(plan), nl=False)
        return 1 if plan.contents and not options["exit_zero"] else 0
    fixed = len({(one.place, one.rule) for change in plan.applied for one in change.findings})
    if options["write"]:
        write(plan)
        return show(look_at_files(files_of(paths, settings), settings), options, fixed=fixed)
    report = look_at_files(files_of(paths, settings), settings)
    if options["form"] not in PEOPLE:
        return show(report, options)
    click.echo(diff(plan), nl=False)
    found = f"{counted(len(report.findings), 'finding')} in {counted(report.files, 'file')}"
    click.echo(f"{found}, {fixed} of them can be fixed{': --fix --write' if fixed else ''}", err=True)
    return 1 if report.findings and not options["exit_zero"] else 0


def fix_text(name: str, data: bytes, settings: Callable[[str], Settings], options: dict[str, Any], show: Show) -> int:
    """A text from standard input: the changed text, or the diff, goes to standard output."""
    plan = planned([name], settings, unsafe=options["unsafe_fixes"], project=Project(Uses(), {name: data}))
    _say(plan, unsafe=options["unsafe_fixes"])
    after = plan.contents.get(name, data)
    if options["only_diff"]:
        click.echo(diff(plan), nl=False)
        return 1 if plan.contents and not options["exit_zero"] else 0
    sys.stdout.buffer.write(after)
    sys.stdout.buffer.flush()
    del show
    left = look_at_files([name], settings, Project(texts={name: after})).findings
    return 1 if left and not options["exit_zero"] else 0


def _say(plan: Plan, *, unsafe: bool) -> None:
    """On standard error: fixes that are not made, and who would notice those that are."""
    for one in plan.fixes:
        if one.refused:
            click.echo(f"{one.where}: not fixed: {one.refused}", err=True)
        elif not one.safe:
            first, *others = map(str, one.consumers)
            more = f" and {len(others)} more" if len(others) > 4 else "".join(f"; {text}" for text in others)
            head = "fixed, though others use the value" if unsafe else "not fixed without --unsafe-fixes, others use it"
            click.echo(f"{one.where}: {head}: {first}{more}", err=True)
