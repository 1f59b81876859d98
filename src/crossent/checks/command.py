"""The command `crossent check`."""

from __future__ import annotations

import click

from .formats import FORMATS
from .rules import RULES, explained
from .source import report

__all__ = ["check"]


def _rules(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Names of rules, in capitals."""
    names = tuple(name.strip().upper() for part in value for name in part.split(",") if name.strip())
    for name in names:
        if name not in RULES:
            raise click.BadParameter(f"{name} is no rule; `crossent check --explain all` lists them")
    return names


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True)
@click.option("--select", multiple=True, callback=_rules, metavar="X001,…", help="Only these rules.")
@click.option("--possible", is_flag=True, help="Findings too that hold on some paths through the program only.")
@click.option("--notes", is_flag=True, help="Findings too that make no number wrong.")
@click.option("--fix", is_flag=True, help="Show, as a diff, what may be changed: read before you apply.")
@click.option("--explain", metavar="RULE", help="Explain a rule, or all of them, and stop.")
@click.pass_context
def check(
    ctx: click.Context,
    paths: tuple[str, ...],
    form: str,
    select: tuple[str, ...],
    possible: bool,
    notes: bool,
    fix: bool,
    explain: str | None,
) -> None:
    """Look for mistakes with softmax and cross-entropy in Python files, notebooks and folders of them.

    Nothing is run. Exit code 1 if there are findings, also of what could not be looked at.
    `# crossent: ignore[X001]` on a line turns a rule off there.
    """
    if explain is not None:
        names = list(RULES) if explain.lower() == "all" else [explain]
        click.echo("\n\n\n".join(map(explained, names)))
        return
    result = report(paths or ["."], possible=possible, notes=notes, select=select)
    for remark in result.remarks:
        click.echo(remark, err=True)
    if fix:
        from .fixes import fixed

        click.echo(fixed(paths or ["."], notes=notes), nl=False)
    elif result.findings or form != "text":
        click.echo(FORMATS[form](result.findings))
    if form == "text" and not fix:
        click.echo(f"{_counted(len(result.findings), 'finding')} in {_counted(result.files, 'file')}", err=True)
    ctx.exit(1 if result.findings else 0)
