"""The commands `crossent runs` and `crossent compare`: what was trained, and which of two runs is better."""

from __future__ import annotations

import importlib.util
import io
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crossent._system.messages import printable
from crossent.errors import DataError, MissingDependencyError, RunFolderError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare", "runs"]


@click.command(epilog="Example: crossent runs")
@click.argument("folder", default="runs", type=click.Path(path_type=Path))
def runs(folder: Path) -> None:
    """List the run folders in FOLDER: what they were trained on, how good they are, and when.

    FOLDER is runs, where `crossent train` puts them, unless another is named.
    """
    from .runs import CHECKPOINT, SETTINGS

    if not folder.is_dir():
        raise RunFolderError(f"no folder {folder}; crossent train makes runs/, and --out puts a run elsewhere")
    patterns = [place + name for place in ("", "*/") for name in (SETTINGS, CHECKPOINT)]
    found = sorted({path.parent for pattern in patterns for path in folder.glob(pattern)})
    if not found:
        raise RunFolderError(f"no run in {folder}; crossent train makes one")
    rows = [("run", "data", "accuracy", "95 % interval", "loss", "finished"), *map(_row, found)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(printable(line.rstrip()))


def _row(run: Path) -> tuple[str, ...]:
    """A run in a line; one that is damaged or unfinished too."""
    from .runs import CHECKPOINT, METRICS, SETTINGS, load_checkpoint_settings

    try:
        if not (run / SETTINGS).exists():
            name = Path(load_checkpoint_settings(run)["arguments"]["data"]).name
            when = datetime.fromtimestamp((run / CHECKPOINT).stat().st_mtime).strftime("%Y-%m-%d %H:%M")
            return str(run), name, "interrupted", "", "", when
        settings = json.loads((run / SETTINGS).read_text(encoding="utf-8"))
        name = Path(settings["arguments"]["data"]).name
        when = datetime.fromtimestamp((run / SETTINGS).stat().st_mtime).strftime("%Y-%m-%d %H:%M")
        metrics = json.loads((run / METRICS).read_text(encoding="utf-8"))
        low, high = metrics["accuracy_interval_95"]
        return str(run), name, f"{metrics['accuracy']:.1%}", f"{low:.1%} to {high:.1%}", f"{metrics['loss']:.4f}", when
    except (OSError, ValueError, KeyError, TypeError):
        return str(run), "damaged", "", "", "", ""


@click.command(epilog="Example: crossent compare runs/small runs/large")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
def compare(first: Path, second: Path) -> None:
    """Compare two runs on the rows that both have held out, row by row.

    Both have to be trained on the same data. The intervals are of draws of these rows (paired bootstrap).
    """
    missing = [name for name in ("pandas", "torch", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(f"this command needs {', '.join(missing)}: install the extra crossent[train]")
    for line in comparison(first, second):
        click.echo(printable(line))


def comparison(first: Path, second: Path) -> list[str]:
    """What there is to say about two runs, a sentence each.

    Raises:
        RunFolderError: no run, or an unfinished one. DataError: of different data, or without a row in common.
    """
    from .paired import difference

    (one, of_one), (two, of_two) = _held_out(first), _held_out(second)
    if of_one["fingerprint"] != of_two["fingerprint"]:
        raise DataError(f"{first} and {second} were not trained on the same data; only such runs are compared")
    both = one.merge(two, on="row", suffixes=("", "_2"))
    if both.empty:
        raise DataError(f"{first} and {second} have no held-out row in common; train them with the same --seed")
    right, right_too = ((both[f"predicted{suffix}"] == both["true"]).to_numpy(float) for suffix in ("", "_2"))
    accuracy, loss = difference(right, right_too), difference(both["loss"], both["loss_2"])
    apart = int(((right == 1) & (right_too == 0)).sum()), int(((right == 0) & (right_too == 1)).sum())
    better = "no difference that these rows can show"
    if accuracy.sure or loss.sure:
        sign = -loss.value if loss.sure else accuracy.value
        better = f"{first if sign > 0 else second} is better"
    if accuracy.sure and loss.sure and accuracy.value * loss.value > 0:
        better = f"{first if accuracy.value > 0 else second} is more often right, the other has the lower loss"
    return [
        f"rows       {len(both)} held out by both (of {len(one)} and {len(two)})",
        f"accuracy   {right.mean():.1%} and {right_too.mean():.1%}: {accuracy.points()}",
        f"loss       {both['loss'].mean():.4f} and {both['loss_2'].mean():.4f}: {loss.nats()}",
        f"only one   {apart[0]} rows are right in {first} alone, {apart[1]} in {second} alone",
        f"verdict    {better}",
    ]


def _held_out(run: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A run's held-out predictions and its settings."""
    import pandas as pd

    from .runs import PREDICTIONS, load_settings

    settings = load_settings(run)
    path = run / PREDICTIONS
    if not path.is_file():
        raise RunFolderError(f"{run} has no {PREDICTIONS}: it is not finished")
    try:
        text = path.read_text(encoding="utf-8")
        labels = {"true": str, "predicted": str}
        table = pd.read_csv(io.StringIO(text), dtype=labels, keep_default_na=False, na_values={"loss": [""]})
        return table.astype({"row": int, "loss": float}), settings
    except (ValueError, KeyError, OSError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from error
