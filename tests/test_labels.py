"""Labels keep the text that the file has, from reading to prediction."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from crossent.classify import data
from crossent.cli import main

COUNTRIES = ["NA", "null", "None", "nan", "n/a", "DE", "?", "-"]
NUMBERS = ["01", "1", "1.0", "1.50", "+1", "1e3", "-0"]
LONG = ["9007199254740992", "9007199254740993", "18446744073709551615", "123456789012345678901234567890"]
ODD = ["x", "x\0", "x\0y", "a,b", 'say "a"', "two\nlines", "ÅÄÖ", "基", "😀"]


def table_of(labels, repeats=3):
    """A CSV table of a number and a label, every label a few times."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["a", "label"])
    writer.writerows([index, label] for index, label in enumerate(labels * repeats))
    return text.getvalue()


@pytest.mark.parametrize("labels", [COUNTRIES, NUMBERS, LONG, ODD, ["True", "False", "TRUE"]])
def test_labels_are_read_as_they_are_written(tmp_path, labels):
    (tmp_path / "t.csv").write_text(table_of(labels), encoding="utf-8")
    dataset = data.load(str(tmp_path / "t.csv"))
    assert dataset.labels.tolist() == labels * 3
    assert sorted(dataset.classes) == sorted(labels)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1, max_size=8)
        .map(str.strip)
        .filter(bool),
        min_size=2,
        max_size=6,
        unique=True,
    )
)
def test_any_text_is_a_label(tmp_path_factory, labels):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(table_of(labels), encoding="utf-8", newline="")
    assert data.load(str(path)).labels.tolist() == labels * 3


@pytest.mark.parametrize("labels", [[1 << 53, (1 << 53) + 1, None, 7], [1.5, 0.1, None, 3.0], ["01", "NA", None, "1"]])
def test_parquet_labels_with_gaps_keep_every_digit(tmp_path, labels):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": range(16), "label": labels * 4}), tmp_path / "t.parquet")
    dataset = data.load(str(tmp_path / "t.parquet"))
    known = ["3" if label == 3.0 else str(label) for label in labels if label is not None]
    assert dataset.labels.tolist() == known * 4
    assert dataset.notes[-1] == "4 rows without a label in 'label' left out"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([(1 << 63) - 1, (1 << 63) - 2]), ["9223372036854775807", "9223372036854775806"]),
        (np.array([0.1, 0.2], np.float32), ["0.1", "0.2"]),
        (np.array([b"no", b"yes"]), ["no", "yes"]),
        (np.array(["NA", "01"]), ["NA", "01"]),
    ],
)
def test_npz_labels(tmp_path, values, expected):
    np.savez(tmp_path / "t.npz", x=np.arange(8.0)[:, None], y=np.tile(values, 4))
    assert data.load(str(tmp_path / "t.npz")).labels.tolist() == expected * 4


def test_numbers_are_in_the_order_of_their_values_and_words_in_the_alphabets(tmp_path):
    for labels, expected in [
        (["10", "9", "09", LONG[1], LONG[0]], ["09", "9", "10", LONG[0], LONG[1]]),
        (["2", "10", "nan"], ["10", "2", "nan"]),
    ]:
        (tmp_path / "t.csv").write_text(table_of(labels))
        assert data.load(str(tmp_path / "t.csv")).classes == expected


@pytest.mark.parametrize("labels", [["NA", "01", "1", LONG[0], LONG[1]], ["x\0", "x", "null"]])
def test_predictions_join_with_the_source(tmp_path, labels):
    """A network that has learned its rows by heart names each label as the source has it."""
    rows = np.repeat(np.arange(len(labels)), 20)
    frame = pd.DataFrame({"a": rows * 10.0, "b": np.sin(rows * 7.0), "label": [labels[row] for row in rows]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    runner = CliRunner()
    options = ["--epochs", "60", "--learning-rate", "0.03", "--out", str(tmp_path / "run"), "--quiet"]
    assert runner.invoke(main, ["train", str(tmp_path / "t.csv"), *options]).exit_code == 0
    answer = runner.invoke(main, ["predict", str(tmp_path / "run"), str(tmp_path / "t.csv")])
    predicted = [row["label"] for row in csv.DictReader(io.StringIO(answer.stdout))]
    assert predicted == frame["label"].tolist()
    assert "accuracy: 100.0% over" in answer.stderr


def test_blanks_around_labels_are_left_out_and_said(tmp_path):
    (tmp_path / "t.csv").write_text("a,label\n1,yes \n2,no\n3,yes\n4,no\n")
    dataset = data.load(str(tmp_path / "t.csv"))
    assert dataset.classes == ["no", "yes"]
    assert dataset.notes[-1] == "blanks around 1 labels in 'label' left out"
