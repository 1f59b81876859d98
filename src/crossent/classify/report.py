"""A run's report: one HTML page that needs nothing but a browser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from crossent._system.messages import printable

from . import plots
from .evaluation import Evaluation

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STYLE", "Background", "calibration_error", "render"]

STYLE = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
MOST_PICTURES, MOST_ROWS, MOST_FEATURES, MOST_PAIRS = 24, 12, 30, 5


@dataclass(frozen=True)
class Background:
    """What the page says besides the evaluation: the run's name, its command, and named facts in order."""

    title: str
    command: str
    facts: Sequence[tuple[str, str]]
    row_source: str = "the data as it was read"
    picture_shape: tuple[int, ...] | None = None
    chosen_by_held_out: bool = False


def render(
    evaluation: Evaluation,
    history: Sequence[dict[str, Any]],
    features: pd.DataFrame,
    row_numbers: Sequence[int],
    background: Background,
) -> str:
    """Render the report as a self-contained HTML page; every text from outside is escaped.

    Args:
        evaluation: of the held-out rows.
        history: the trainer's, one record an epoch.
        features: the held-out rows, as they were read.
        row_numbers: where each held-out row stands in the data, from 0.
        background: the run's name, command and facts.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    evaluation = replace(evaluation, classes=tuple(map(printable, evaluation.classes)))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.filters["share"] = _share
    template = environment.from_string(files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8"))
    names = list(features.columns)
    matrix = plots.confusion_matrix(evaluation.confusion, evaluation.classes)
    panels = [("Before", evaluation.before)] + ([("After", evaluation.after)] if evaluation.after else [])
    page: str = template.render(
        style=Markup(STYLE),
        title=background.title,
        subtitle=_subtitle(evaluation, len(history)),
        tiles=_tiles(evaluation),
        caution=CHOSEN_BY_HELD_OUT if background.chosen_by_held_out else "",
        learning_curves=[Markup(curve) for curve in plots.learning_curves(history)],
        confusion_matrix=Markup(matrix) if matrix else None,
        confused=_confused(evaluation),
        bins=len(evaluation.before.counts),
        reliability=[Markup(plots.reliability_diagram(name, table)) for name, table in panels],
        calibration_text=_calibration_text(evaluation),
        calibrated=evaluation.calibrated,
        scores=evaluation.scores,
        pictures=background.picture_shape is not None,
        surprises=_surprises(evaluation, features, row_numbers, background.picture_shape),
        feature_names=names[:MOST_FEATURES],
        features_left_out=max(0, len(names) - MOST_FEATURES),
        row_source=background.row_source,
        command=background.command,
        facts=background.facts,
    )
    return page


CHOSEN_BY_HELD_OUT = (
    "The epoch was chosen by the loss on these same held-out rows (early stopping), so the figures are a little better "
    "than fresh rows would show."
)


def _subtitle(evaluation: Evaluation, epochs: int) -> str:
    """What was looked at, in one line."""
    classes, rows = len(evaluation.classes), len(evaluation.labels)
    return f"A classifier for {classes} classes after {epochs} epochs, on {rows} held-out rows it was not trained on."


def _tiles(evaluation: Evaluation) -> list[tuple[str, str]]:
    """The headline numbers."""
    low, high = evaluation.accuracy_interval
    guessing = math.log(len(evaluation.classes))
    return [
        (f"{evaluation.accuracy:.1%}", f"accuracy (95 % interval {low:.1%} to {high:.1%})"),
        (f"{evaluation.baseline:.1%}", "accuracy of always saying the most frequent class"),
        (
            f"{evaluation.loss:.4f}",
            f"loss: mean cross-entropy (by guessing: {guessing:.3f})",
        ),
        (
            calibration_error(evaluation),
            "calibration error (ECE)" + (", before → after temperature scaling" if evaluation.calibrated else ""),
        ),
    ]


def calibration_error(evaluation: Evaluation) -> str:
    """The calibration error, before and, where a temperature is used, after."""
    before = f"{evaluation.before.error:.1%}"
    return f"{before} → {evaluation.after.error:.1%}" if evaluation.calibrated and evaluation.after else before


def _calibration_text(evaluation: Evaluation) -> str:
    """How the temperature was found, on which rows it is shown, and whether it is used."""
    rows = len(evaluation.labels)
    if evaluation.after is None:
        return f"{rows} held-out rows are too few to fit a temperature; the probabilities are the network's own."
    change = "softens" if evaluation.fitted_temperature > 1 else "sharpens"
    used = (
        f"It is used for predictions, and {change} them; no predicted class changes"
        if evaluation.calibrated
        else "That is no gain, so no temperature is used: the probabilities are the network's own"
    )
    return (
        "“After” divides the logits by a temperature that minimises the negative log-likelihood. To be fair, each "
        f"fifth of the {rows} held-out rows is shown at the temperature fitted on the other four fifths. Fitted on all "
        "of them "
        f"it is {evaluation.fitted_temperature:.3f}. The loss of rows that it was not fitted on goes from "
        f"{evaluation.loss:.4f} to {evaluation.loss_after:.4f}. {used}. With few rows in a bin its gap is mostly "
        "chance."
    )


def _confused(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The pairs of classes that were confused most often."""
    counts = evaluation.confusion.copy()
    np.fill_diagonal(counts, 0)
    pairs = np.argwhere(counts > 0)
    pairs = pairs[np.argsort(-counts[tuple(pairs.T)], kind="stable")][:MOST_PAIRS]
    return [
        {"true": evaluation.classes[t], "predicted": evaluation.classes[p], "count": int(counts[t, p])}
        for t, p in pairs
    ]


def _surprises(
    evaluation: Evaluation, features: pd.DataFrame, row_numbers: Sequence[int], shape: tuple[int, ...] | None
) -> list[dict[str, Any]]:
    """The rows of highest loss, with their picture or their features."""
    found = []
    lowest, highest = (float(features.min(axis=None)), float(features.max(axis=None))) if shape else (0.0, 0.0)
    for row in evaluation.surprises(MOST_PICTURES if shape else MOST_ROWS):
        predicted, true = evaluation.predictions[row], evaluation.labels[row]
        values = features.iloc[row]
        shown: dict[str, Any] = {"features": [_value(value) for value in values.iloc[:MOST_FEATURES]]}
        if shape:
            shown = {"picture": plots.picture(values.to_numpy(), shape, lowest, highest)}
        found.append(
            shown
            | {
                "number": int(row_numbers[row]) + 1,
                "true": evaluation.classes[true],
                "predicted": evaluation.classes[predicted],
                "wrong": predicted != true,
                "confidence": f"{evaluation.probabilities[row, predicted]:.1%}",
                "loss": f"{evaluation.row_loss[row]:.2f}",
            }
        )
    return found


def _share(value: float) -> str:
    """A share in percent, or a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.1%}"


def _value(value: Any) -> str:
    """A feature's value: four digits, a dash for what is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)[:60]


def _shown(value: Any) -> Any:
    """Text from outside with its control characters escaped, such as those that turn the direction of writing."""
    return value if type(value) is not str else "\n".join(map(printable, value.split("\n")))
