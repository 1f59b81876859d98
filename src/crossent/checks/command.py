"""The command `crossent check`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from ..errors import DataError, OptionError
from .finding import Finding
from .rules import RULES, explained
from .settings import Settings, chosen_rules
from .source import rules_of
from .source.report import Report

__all__ = ["check"]

COUNTED = ("full", "text", "concise", "grouped", "json")  # the forms that --statistics has
FORMS = ["full", "text", "concise", "grouped", "json", "junit", "github", "sarif"]


def _rules(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Names of rules, in capitals."""
    try:
        return chosen_rules(value, f"--{parameter.name}")
    except OptionError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "--output-format",
    "--format",
    "form",
    type=click.Choice(FORMS),
    default="full",
    show_default=True,
    help="How findings are shown; text is full.",
)
@click.option("--output-file", "-o", type=click.Path(dir_okay=False), help="Write them there, not to the terminal.")
@click.option("--select", multiple=True, callback=_rules, metavar="X001,…", help="Only these rules; X0 is all of X0….")
@click.option("--ignore", multiple=True, callback=_rules, metavar="X001,…", help="Not these rules.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out files and folders that fit.")
@click.option("--no-respect-gitignore", is_flag=True, help="Look at what .gitignore leaves out, too.")
@click.option("--possible", is_flag=True, help="Findings too that hold on some paths through the program only.")
@click.option("--notes", is_flag=True, help="Findings too that make no number wrong.")
@click.option("--fix", is_flag=True, help="Show, as a diff, what can be put right so that only the loss changes.")
@click.option("--write", is_flag=True, help="With --fix: write the files, and show what remains.")
@click.option("--unsafe-fixes", is_flag=True, help="Also fixes that others would notice; who, is said.")
@click.option("--diff", "only_diff", is_flag=True, help="Show the diff alone; exit code 1 if there is one.")
@click.option("--statistics", "counts", is_flag=True, help="How often each rule is broken, in place of the findings.")
@click.option("--exit-zero", is_flag=True, help="Exit code 0 though there are findings.")
@click.option("--stdin-filename", metavar="PATH", help="The name of what is read from standard input (path -).")
@click.option("--jobs", "-j", type=click.IntRange(0), default=0, help="Processes; 0 is one for each core.")
@click.option("--no-cache", is_flag=True, help="Neither use nor keep what was found before.")
@click.option("--server", is_flag=True, help="Speak the Language Server Protocol with an editor.")
@click.option("--explain", metavar="RULE", help="Explain a rule, or all of them, and stop.")
@click.pass_context
def check(ctx: click.Context, /, paths: tuple[str, ...], **options: Any) -> None:
    """Look for mistakes with softmax and cross-entropy in Python files, notebooks and folders of them.

    Nothing is run. Exit code 1 if there are findings, also of what could not be looked at; 2 for a wrong call.
    `# crossent: ignore[X001]` or `# noqa: X001` on a line turns a rule off there, [tool.crossent.check] in
    pyproject.toml has the options' names.
    """
    if options["explain"] is not None:
        names = list(RULES) if options["explain"].lower() == "all" else [options["explain"]]
        click.echo("\n\n\n".join(map(explained, names)))
        return
    if options["server"]:
        from .server import serve

        serve()
        return
    if options["write"] and not options["fix"]:
        raise click.UsageError("--write goes with --fix: `crossent check --fix --write` changes the files")
    if options["counts"] and options["form"] not in COUNTED:
        raise click.UsageError(f"--statistics has no {options['form']} form: choose json, or leave the format out")
    if options["write"] and options["only_diff"]:
        raise click.UsageError("--diff writes nothing: leave --write out, or --diff")
    ctx.exit(_run(list(paths) or ["."], options))


def _run(paths: list[str], options: dict[str, Any]) -> int:
    """Look, fix if asked, show; the exit code."""
    given = Settings(
        options["select"], options["ignore"], options["exclude"], possible=options["possible"],
        notes=options["notes"], respect_gitignore=not options["no_respect_gitignore"],
    )  # fmt: skip
    if "-" in paths:
        return _standard_input(paths, given, options)
    if options["fix"] or options["only_diff"]:
        from .fixing import fix

        return fix(paths, given, options, show)
    from .running import run

    report = run(paths, given, jobs=options["jobs"], cache=not options["no_cache"], progress=True)
    return show(report, options)


def _standard_input(paths: list[str], given: Settings, options: dict[str, Any]) -> int:
    """One file, from standard input, under the name that it will have."""
    if len(paths) > 1:
        raise click.UsageError("standard input (-) is checked by itself: leave the other paths out")
    name = os.path.normpath(options["stdin_filename"] or "stdin.py")
    data = sys.stdin.buffer.read()
    from .fixing import fix_text
    from .source.project import Project
    from .source.report import look_at_files

    settings = rules_of(given)
    if options["fix"] or options["only_diff"]:
        return fix_text(name, data, settings, options, show)
    project = Project(texts={name: data})
    report = look_at_files([name], settings, project)
    report.texts = project.texts
    return show(report, options)


def show(report: Report, options: dict[str, Any], *, fixed: int | None = None) -> int:
    """Print or write the findings; the exit code that they ask for."""
    from .formats import FORMATS, PEOPLE, counted, full, statistics, statistics_as_json

    for remark in report.remarks:
        click.echo(remark, err=True)
    people = options["form"] in PEOPLE
    form = FORMATS[options["form"]]
    if options["counts"]:
        text = statistics(report.findings) if people else statistics_as_json(report.findings)
    else:
        text = full(report.findings, report.texts) if form is full else form(report.findings)
    _put(text, report.findings, people=people, file=options["output_file"])
    if people:
        before = f"{counted(fixed, 'finding')} fixed, " if fixed is not None else ""
        found = f"{before}{counted(len(report.findings), 'finding')} in {counted(report.files, 'file')}"
        click.echo(found, err=True)
    return 1 if report.findings and not options["exit_zero"] else 0


def _put(text: str, findings: list[Finding], *, people: bool, file: str | None) -> None:
    """The text, to a file or the terminal; no colour where NO_COLOR says so."""
    if file is not None:
        try:
            Path(file).write_text(click.unstyle(text) + "\n", encoding="utf-8")
        except OSError as error:
            raise DataError(f"{file}: cannot be written: {error.strerror or error}") from None
    elif findings or not people:
        colour = False if os.environ.get("NO_COLOR") else True if os.environ.get("FORCE_COLOR") else None
        click.echo(text, color=colour)
