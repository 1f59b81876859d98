"""Predictions of a run for new data, as a CSV table."""

from __future__ import annotations

import numpy as np

from . import data, preprocessing
from .cells import as_csv
from .reading.options import AS_FOUND, ReadingOptions
from .runs import Run

__all__ = ["predict_table"]


def predict_table(
    run: Run, source: str, calibrated: bool = True, reading: ReadingOptions = AS_FOUND, safe_cells: bool = False
) -> tuple[str, list[str]]:
    """Predict every row of a data set.

    Args:
        run: the trained classifier.
        source: the data set's name or path.
        calibrated: whether to apply the run's temperature.
        reading: how to read it, where the file does not say it.
        safe_cells: whether cells that begin like a formula get an apostrophe.

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
    notes = [*dataset.notes, *preprocessing.unseen_values(run.transformer, dataset.features)]
    if dataset.labels is not None:
        notes += _accuracy(run, dataset, predicted)
    return as_csv(table, safe_cells), notes


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
