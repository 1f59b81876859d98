"""The command `crossent score`."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from crossent.errors import MissingDependencyError

__all__ = ["score"]

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
LIBRARIES = ("scipy", "pandas", "tqdm")


@click.command(epilog="Example: crossent score logits.npy labels.npy --compare other.npy --html scores.html")
@click.argument("logits")
@click.argument("targets")
@click.option(
    "--from-probs/--from-logits",
    "probabilities",
    default=None,
    help="What the scores are. Default: logits, unless they look like probabilities; then you are asked.",
)
@click.option("--compare", "other", metavar="OTHER", help="Scores of another model for the same rows.")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="k of the top-k accuracy.")
@click.option("--ignore-index", type=int, default=-100, show_default=True, help="Target of rows that do not count.")
@click.option("--bytes", "size", type=click.IntRange(1), help="Bytes of the text that all rows are: for bits per byte.")
@click.option(
    "--json",
    "json_file",
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="Write all figures as JSON; without FILE, or with -, to stdout in place of the table.",
)
@click.option("--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with plots.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.pass_context
def score(
    ctx: click.Context,
    /,
    logits: str,
    targets: str,
    json_file: str | None,
    html_file: Path | None,
    size: int | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Score LOGITS against TARGETS: loss, perplexity, accuracy, Brier score, calibration, with intervals.

    LOGITS holds a row of scores a target, classes last (.npy, .npz, .safetensors, .parquet, .csv); or one score a row
    for two classes. TARGETS holds class indices, or the names that the scores' header has. Of several arrays in a file,
    or columns of a table, FILE:NAME takes one. Files may be larger than memory: they are read once, a few megabytes at
    a time.

    Intervals are of 1000 draws of the rows (bootstrap); the difference to another model is drawn in pairs. What
    `crossent predict` writes is read too: its probabilities, by the classes' names.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(f"crossent score needs {', '.join(missing)}: install the extra crossent[train]")
    from . import text
    from .scoring import score_files

    progress = _Progress(quiet)
    try:
        with progress:
            scores = score_files(logits, targets, on_rows=progress.at, **options)
    except KeyboardInterrupt:
        click.echo(f"interrupted after {progress.done:,} rows; nothing was written", err=True)
        ctx.exit(INTERRUPTED)
    figures = json.dumps(text.as_json(scores, size), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    click.echo(figures if json_file == "-" else "\n".join(text.lines(scores, size)), nl=json_file != "-")
    if json_file not in {None, "-"}:
        _write(Path(str(json_file)), figures)
    if html_file is not None:
        from .page import render

        _write(html_file, render(scores, size, shlex.join(["crossent", *sys.argv[1:]])))


def _write(path: Path, content: str) -> None:
    """Write a file whole or not at all."""
    from crossent.classify.runs import write_whole

    write_whole(path, content.encode("utf-8", "backslashreplace"))


class _Progress:
    """A bar with the time left, where someone is looking."""

    def __init__(self, quiet: bool) -> None:
        from tqdm import tqdm

        self.done = 0
        hidden = {"disable": True} if quiet or not sys.stderr.isatty() else {}  # else TQDM_DISABLE decides
        self.bar = tqdm(unit=" rows", unit_scale=True, leave=False, **hidden)

    def __enter__(self) -> None:
        """Nothing to do: the bar is there."""

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def at(self, done: int, rows: int | None) -> None:
        """Show how many rows are done."""
        self.bar.total = rows
        self.bar.update(done - self.done)
        self.done = done
