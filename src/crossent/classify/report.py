"""A run's report: one HTML page that needs nothing but a browser."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from crossent._system.messages import printable

from . import plots
from .evaluation import Evaluation
from .insight import Insight
from .language import LANGUAGES, translator

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STYLE", "Background", "calibration_line", "render"]

STYLE = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
MOST_IMPORTANCES, MOST_CURVES = 15, 6
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
    cautions: Sequence[str] = ()


def render(
    evaluation: Evaluation,
    history: Sequence[dict[str, Any]],
    features: pd.DataFrame,
    row_numbers: Sequence[int],
    background: Background,
    insight: Insight | None = None,
    language: str = "en",
) -> str:
    """Render the report as a self-contained HTML page; every text from outside is escaped.

    Args:
        evaluation: of the held-out rows.
        history: the trainer's, one record an epoch.
        features: the held-out rows, as they were read.
        row_numbers: where each held-out row stands in the data, from 0.
        background: the run's name, command and facts.
        insight: what others reach, and which columns count.
        language: of the page: "en" or "zh".
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    _ = translator(language)
    evaluation = replace(evaluation, classes=tuple(map(printable, evaluation.classes)))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.filters["share"] = _share
    template = environment.from_string(files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8"))
    matrix = plots.confusion_matrix(evaluation.confusion, evaluation.classes, _)
    panels = [("Before", evaluation.before)] + ([("After", evaluation.after)] if evaluation.after else [])
    page: str = template.render(
        _=_,
        language=LANGUAGES[language],
        style=Markup(STYLE),
        title=background.title,
        subtitle=_subtitle(evaluation, len(history), _),
        tiles=_tiles(evaluation, _),
        caution=_(CHOSEN_BY_HELD_OUT) if background.chosen_by_held_out else "",
        cautions=background.cautions,
        **_insights(insight or Insight(), evaluation, _),
        learning_curves=[Markup(curve) for curve in plots.learning_curves(history, _)],
        confusion_matrix=Markup(matrix) if matrix else None,
        confused=_confused(evaluation),
        bins=len(evaluation.before.counts),
        reliability=[Markup(plots.reliability_diagram(name, table, _)) for name, table in panels],
        calibration_text=_calibration_text(evaluation, _),
        calibrated=evaluation.calibrated,
        scores=evaluation.scores,
        pictures=background.picture_shape is not None,
        surprises=_surprises(evaluation, features, row_numbers, background.picture_shape),
        feature_names=list(features.columns)[:MOST_FEATURES],
        features_left_out=max(0, features.shape[1] - MOST_FEATURES),
        row_source=background.row_source,
        command=background.command,
        facts=background.facts,
    )
    return page


CHOSEN_BY_HELD_OUT = (
    "The epoch was chosen by the loss on these same held-out rows (early stopping), so the figures are a little better "
    "than fresh rows would show."
)


def _insights(insight: Insight, evaluation: Evaluation, _: Callable[..., str]) -> dict[str, Any]:
    """What the page says of other models, and of the columns that count."""
    from markupsafe import Markup

    found = insight.importances[:MOST_IMPORTANCES]
    frequent = np.argsort(-np.bincount(evaluation.labels, minlength=len(evaluation.classes)), kind="stable")
    shown = sorted(frequent[:MOST_CURVES].tolist())
    curves = [plots.dependence_curve(curve, evaluation.classes, shown, _) for curve in insight.dependences]
    return {
        "baselines": insight.baselines,
        "verdict": insight.verdict(evaluation.accuracy, _),
        "accuracy": f"{evaluation.accuracy:.1%}",
        "loss": f"{evaluation.loss:.4f}",
        "importance": Markup(plots.importance_bars(found, _)) if found else None,
        "columns_left_out": len(insight.importances) - len(found),
        "dependences": [Markup(curve) for curve in curves],
    }


def _subtitle(evaluation: Evaluation, epochs: int, _: Callable[..., str]) -> str:
    """What was looked at, in one line."""
    return _(
        "A classifier for {classes} classes after {epochs} epochs, on {rows} held-out rows it was not trained on.",
        classes=len(evaluation.classes),
        epochs=epochs,
        rows=len(evaluation.labels),
    )


def _tiles(evaluation: Evaluation, _: Callable[..., str]) -> list[tuple[str, str]]:
    """The headline numbers."""
    low, high = evaluation.accuracy_interval
    guessing = math.log(len(evaluation.classes))
    tiles = [
        (
            f"{evaluation.accuracy:.1%}",
            _("accuracy (95 % interval {low} to {high})", low=f"{low:.1%}", high=f"{high:.1%}"),
        ),
        (f"{evaluation.baseline:.1%}", _("accuracy of always saying the most frequent class")),
        (
            f"{evaluation.loss:.4f}",
            _("loss: mean cross-entropy (by guessing: {guessing})", guessing=f"{guessing:.3f}"),
        ),
        (f"{evaluation.before.error:.1%}", _("calibration error (ECE) of the network's own probabilities")),
    ]
    if evaluation.calibrated:
        change = f"{evaluation.loss:.4f} → {evaluation.loss_after:.4f}"
        tiles.append((change, _("loss before and after temperature scaling, on rows it was not fitted on")))
    return tiles


def calibration_line(evaluation: Evaluation) -> str:
    """The loss that a temperature lowers, where it does and so is used."""
    error = f"calibration error {evaluation.before.error:.1%}"
    if evaluation.after is None:
        return f"{error}; too few held-out rows to fit a temperature"
    if not evaluation.calibrated:
        return f"{error}; no temperature lowers the held-out loss, none is used"
    return (
        f"temperature {evaluation.temperature:.3f} lowers the loss from {evaluation.loss:.4f} to "
        f"{evaluation.loss_after:.4f} on rows it was not fitted on, and is used; {error} before"
    )


def _calibration_text(evaluation: Evaluation, _: Callable[..., str]) -> str:
    """How the temperature was found, on which rows it is shown, and whether it is used."""
    rows = len(evaluation.labels)
    if evaluation.after is None:
        return _(
            "{rows} held-out rows are too few to fit a temperature; the probabilities are the network's own.", rows=rows
        )
    how = _(
        "“After” divides the logits by a temperature that minimises the negative log-likelihood. To be fair, each "
        "fifth of the {rows} held-out rows is shown at the temperature fitted on the other four fifths. Fitted on all "
        "of them it is {temperature}. The loss of rows that it was not fitted on goes from {before} to {after}.",
        rows=rows,
        temperature=f"{evaluation.fitted_temperature:.3f}",
        before=f"{evaluation.loss:.4f}",
        after=f"{evaluation.loss_after:.4f}",
    )
    if not evaluation.calibrated:
        used = _("That is no gain, so no temperature is used: the probabilities are the network's own.")
    elif evaluation.fitted_temperature > 1:
        used = _("It is used for predictions, and softens them; no predicted class changes.")
    else:
        used = _("It is used for predictions, and sharpens them; no predicted class changes.")
    return " ".join([how, used, _("With few rows in a bin its gap is mostly chance.")])


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
