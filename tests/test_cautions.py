"""What ruins a model is said, before it is trained; and clean data is left in peace."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossent import SoftmaxClassifier
from crossent.classify import data, preprocessing
from crossent.classify.cautions import cautions

ROWS = 200


def clean(**changes):
    """Rows whose label depends on two numbers, not wholly."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"a": generator.normal(size=ROWS), "b": generator.normal(size=ROWS)})
    frame["colour"] = np.array(["red", "blue", "white"])[generator.integers(0, 3, ROWS)]
    noise = generator.normal(size=ROWS)
    return frame.assign(label=np.where(frame["a"] + frame["b"] + noise > 0, "yes", "no")).assign(**changes)


def said_about(frame, tmp_path, **reading):
    frame.to_csv(tmp_path / "t.csv", index=False)
    train, held_out = data.split(data.load(str(tmp_path / "t.csv"), "label"), 0.25, seed=0)
    return cautions(train, held_out, preprocessing.fit(train.features)[0])


def test_nothing_is_said_of_clean_data(tmp_path):
    assert said_about(clean(), tmp_path) == []
    for name in ("iris", "wine", "breast_cancer", "digits"):
        train, held_out = data.split(data.load(name), 0.2, seed=0)
        transformer, _ = preprocessing.fit(train.features, pictures=name == "digits")
        twins = ["1 of 30 held-out rows are there in training too"] if name == "iris" else []  # Fisher's own
        assert [said.split(",")[0] for said in cautions(train, held_out, transformer)] == twins


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"leak": lambda frame: (frame["label"] == "yes") * 2.5 + 1}, "column 'leak' alone tells the label of 100.0%"),
        ({"leak": lambda frame: frame["label"].str.upper()}, "column 'leak' alone tells"),
        ({"Id": np.arange(ROWS) + 1}, "column 'Id' numbers the rows"),
        ({"customer_id": np.random.default_rng(1).permutation(ROWS) + 5000}, "column 'customer_id' numbers the rows"),
        ({"n": np.arange(0, 2 * ROWS, 2) + 17}, "column 'n' numbers the rows"),
        (
            {"label": lambda frame: np.where(np.arange(ROWS) % 9 == 0, frame["label"].str.title(), frame["label"])},
            "labels that differ only in upper and lower case: 'No' and 'no'; 'Yes' and 'yes'",
        ),
        (
            {"colour": lambda frame: np.where(np.arange(ROWS) % 5 == 0, "Red", frame["colour"])},
            "values of column 'colour' that differ only in upper and lower case: 'Red' and 'red'",
        ),
        (
            {"label": lambda frame: np.where(np.arange(ROWS) < 3, "maybe", frame["label"])},
            "rare classes: fewer than 5 rows to learn from: 'maybe' (2)",
        ),
        (
            {"label": lambda frame: np.where(np.arange(ROWS) < 1, "maybe", frame["label"])},
            "rare classes: class 'maybe' of no held-out row",
        ),
    ],
)
def test_what_ruins_a_model_is_said(tmp_path, change, text):
    said = said_about(clean(**change), tmp_path)
    assert any(text in sentence for sentence in said), said
    assert len(said) == 1


def test_rows_that_are_in_both_parts_are_counted(tmp_path):
    said = said_about(pd.concat([clean(), clean()], ignore_index=True), tmp_path)
    assert len(said) == 1
    twins = int(said[0].split()[0])
    assert 60 < twins < 90  # of 100, three in four have their twin in training
    few_values = clean(a=np.arange(ROWS) % 3, b=np.arange(ROWS) % 4)
    assert said_about(few_values, tmp_path) == []


def test_early_stopping_keeps_the_one_row_of_a_class_in_training():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 3)), np.array(["a", "b"] * 30, dtype=object)
    x[7], y[7] = 20, "lonely"
    model = SoftmaxClassifier(early_stopping=True, random_state=0, max_iter=300, learning_rate_init=0.02)
    assert model.fit(x, y).predict(x)[7] == "lonely"
    weights = np.ones(60)
    weights[7] = 0
    assert SoftmaxClassifier(early_stopping=True, random_state=0, max_iter=300).fit(x, y, weights).predict(x)[7] in "ab"
