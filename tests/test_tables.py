"""Tables as people have them: each file in tests/tables has its right answer beside it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossent.classify import data, preprocessing
from crossent.classify.numbers import number_of
from crossent.classify.reading.flags import reading_options
from crossent.classify.reading.header import has_header
from crossent.classify.sources import read
from crossent.errors import DataError

FOLDER = Path(__file__).parent / "tables"
FILES = sorted(path.name.removesuffix(".json") for path in FOLDER.glob("*.json") if path.with_suffix("").exists())


def understood(name, answer):
    """The data set, and all that was said about it."""
    options = reading_options(answer.get("options", {}))
    dataset = data.load(str(FOLDER / name), answer.get("target"), options)
    transformer, notes = preprocessing.fit(dataset.features, text=options.text)
    rows = preprocessing.transform(transformer, dataset.features)
    assert len(rows) == len(dataset.features)
    return dataset, preprocessing.columns_of(transformer), [*dataset.notes, *notes]


@pytest.mark.parametrize("name", FILES)
def test_a_table_is_read_right(name):
    answer = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    if "error" in answer:
        with pytest.raises(DataError) as caught:
            understood(name, answer)
        assert answer["error"] in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    dataset, columns, notes = understood(name, answer)
    assert len(dataset.features) == answer["rows"]
    assert Counter(dataset.labels) == answer["labels"]
    assert columns == answer["columns"]
    for note in answer["notes"]:
        assert any(note in said for said in notes), f"{note!r} is not among {notes}"
    assert len(notes) <= len(answer["notes"]) + 1, notes  # and the target: nothing else is said


def test_every_file_has_its_answer():
    assert {path.name for path in FOLDER.iterdir() if path.name not in FILES} == {f"{name}.json" for name in FILES}


@pytest.mark.parametrize(
    ("first", "names"),
    [
        (["0", "1", "2", "label"], True),  # a DataFrame that was given no names
        (["1", "2", "3", "label"], True),
        (["place", "1990", "1991", "1992"], True),
        (["kind", "400.5", "402", "403.5"], True),
        (["20", "2019", "2020"], False),
        (["2019", "2020", "kind"], True),
        (["2019", "2021", "kind"], False),
        (["0", "1", "no"], False),
        (["17", "140", "no"], False),
        (["17", "4.5", "yes"], False),
        (["20", "30", "120", "no"], False),
    ],
    ids=str,
)
def test_numbers_name_columns_only_in_a_row_of_their_own(first, names) -> None:
    words = [number_of(cell) is None for cell in first]
    rows = [["yes" if word else str(25 + index) for word in words] for index in range(12)]
    assert has_header([first, *rows]) is names


WORDS = ["red", "blue", "white, dark", "a;b", "x|y", "it's", 'say "hi"', "NA", "", "two words", "ÅÖ", "1a", "007"]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.lists(st.sampled_from(["whole", "fraction", "words"]), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_what_csv_writes_is_read_back(tmp_path_factory, separator, encoding, end, header, kinds, random):
    cells = {
        "whole": lambda: str(random.randint(0, 99)),
        "fraction": lambda: f"{random.uniform(0, 9):.2f}",
        "words": lambda: random.choice(WORDS),
        "label": lambda: random.choice(["yes", "no", "maybe, so"]),
    }
    rows = [[cells[kind]() for kind in ["whole", *kinds, "label"]] for _ in range(random.randint(8, 40))]
    rows[-1][-1] = rows[0][-1]  # a word found nowhere else may as well be a name
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerows([[f"name {place}" for place in range(len(kinds) + 2)], *rows][not header :])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    table = read(str(path))
    found = [table.written(name) for name in table.columns]
    assert found == [[row[place] or None for row in rows] for place in range(len(kinds) + 2)]
