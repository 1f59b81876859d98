"""Predictions of a run for new data, as a CSV table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossent.errors import OptionError

from . import data, influence, preprocessing
from .calibration import apply_temperature
from .cells import as_csv
from .reading.options import AS_FOUND, ReadingOptions
from .runs import Run

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["predict_table"]

MOST_REASONS = 3


def predict_table(
    run: Run,
    source: str,
    calibrated: bool = True,
    reading: ReadingOptions = AS_FOUND,
    safe_cells: bool = False,
    explain: bool = False,
) -> tuple[str, list[str]]:
    """Predict every row of a data set.

    Args:
        run: the trained classifier.
        source: the data set's name or path.
        calibrated: whether to apply the run's temperature.
        reading: how to read it, where the file does not say it.
        safe_cells: whether cells that begin like a formula get an apostrophe.
        explain: whether to add a column on what speaks for each label.

    Returns:
        CSV with the columns label, probability and probability_CLASS for every class; and notes: values that were never
        seen in training, and the accuracy where the target is known.

    Raises:
        DataError: the data cannot be read, lacks a column, or holds text where numbers are expected.
    """
    import pandas as pd

    text = preprocessing.columns_of(run.transformer).get("text", [])
    dataset = data.load_for_prediction(source, run.settings["target"], text, reading)
    probabilities = run.probabilities(dataset.features, calibrated)
    predicted = probabilities.argmax(axis=1)
    table = pd.DataFrame(
        {
            "label": [run.classes[index] for index in predicted],
            "probability": probabilities.max(axis=1),
            **{f"probability_{name}": probabilities[:, index] for index, name in enumerate(run.classes)},
        }
    )
    if explain:
        table["explanation"] = _explanations(run, dataset.features, calibrated)
    notes = [*dataset.notes, *preprocessing.unseen_values(run.transformer, dataset.features)]
    if dataset.labels is not None:
        notes += _accuracy(run, dataset, predicted)
    return as_csv(table, safe_cells), notes


def _explanations(run: Run, features: pd.DataFrame, calibrated: bool) -> list[str]:
    """What speaks for each row's label most: columns with their values, and what they add to its probability."""
    if "pixels" in preprocessing.columns_of(run.transformer):
        raise OptionError("--explain names columns; these data are pictures, whose pixels have none")
    x = preprocessing.transform(run.transformer, features)
    temperature = run.metrics["temperature"] if calibrated else 1.0
    falls = influence.occlusion(lambda x: apply_temperature(run.trainer.logits(x), temperature), run.transformer, x)
    names, values = list(falls), np.stack(list(falls.values()), axis=1)
    order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :MOST_REASONS]
    shown = {name: [_shown(cell) for cell in features[name]] for name in names}
    return [
        "; ".join(f"{names[place]}={shown[names[place]][row]} ({values[row, place]:+.3f})" for place in places)
        for row, places in enumerate(order)
    ]


def _shown(cell: object) -> str:
    """A cell in an explanation."""
    text = f"{cell:.6g}" if isinstance(cell, float | np.floating) else str(cell)
    return text if len(text) <= 40 else text[:39] + "…"


def _accuracy(run: Run, dataset: data.Dataset, predicted: np.ndarray) -> list[str]:
    """The accuracy over the rows with a label, and what may be wrong with it."""
    labels = np.asarray(dataset.labels)
    known = labels != ""
    if not known.any():
        return []
    expected = data.encode(labels[known], run.classes)
    notes = [f"accuracy: {np.mean(expected == predicted[known]):.1%} over {known.sum()} rows with a label"]
    foreign = sorted({str(label) for label in labels[known][expected < 0]})
    if foreign:
        notes.append(f"labels never seen in training, counted as wrong: {data.named_list(foreign, 4)}")
    if run.settings["fingerprint"] == dataset.fingerprint():
        notes.append("these are the data it was trained on; metrics.json has the accuracy on held-out rows")
    return notes
