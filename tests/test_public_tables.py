"""Public tables that ship inside packages: read right, and as good as boosting, or it is said that they are not."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from crossent.classify import data, preprocessing
from crossent.cli import main

TABLES = {  # package and file, target, columns to leave out, rows, kinds of columns
    "penguins": ("palmerpenguins/data/penguins.csv", "species", (), 344, {"text": 2, "numbers": 5}),
    "sex of penguins": ("palmerpenguins/data/penguins.csv", "sex", (), 344, {"text": 2, "numbers": 5}),
    "raw penguins": (
        "palmerpenguins/data/penguins-raw.csv",
        "Island",
        (),
        344,
        {"text": 7, "numbers": 7, "dates": 1, "prose": 0},
    ),
    "cars": ("vega_datasets/_data/cars.json", "Origin", (), 406, {"text": 1, "numbers": 6, "dates": 1}),
    "iris": ("vega_datasets/_data/iris.json", "species", (), 150, {"numbers": 4}),
    "weather": ("vega_datasets/_data/seattle-weather.csv", "weather", (), 1461, {"dates": 1, "numbers": 4}),
    "anes96": ("statsmodels/datasets/anes96/anes96.csv", "vote", (), 944, {"numbers": 9}),
    "spector": ("statsmodels/datasets/spector/spector.csv", "GRADE", ("OBS",), 32, {"numbers": 3}),
    "modechoice": ("statsmodels/datasets/modechoice/modechoice.csv", "choice", ("individual",), 840, {"numbers": 7}),
    "fair": ("statsmodels/datasets/fair/fair.csv", "rate_marriage", (), 6366, {"numbers": 8}),
    "wine": ("wine", None, (), 178, {"numbers": 13}),
    "breast cancer": ("breast_cancer", None, (), 569, {"numbers": 30}),
}


def path_of(source):
    package, slash, rest = source.partition("/")
    if not slash:
        return source
    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"{package} is not installed")
    return str(Path(found.origin).parent / rest)


@pytest.mark.parametrize("name", TABLES)
def test_it_is_read_right(name):
    source, target, drop, rows, kinds = TABLES[name]
    dataset = data.load(path_of(source), target)
    assert len(dataset.features) + (11 if name == "sex of penguins" else 0) >= rows - 10
    columns = preprocessing.columns_of(preprocessing.fit(dataset.features.drop(columns=list(drop)))[0])
    if name != "raw penguins":  # its comments are few
        assert {kind: len(names) for kind, names in columns.items()} == kinds


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_it_is_as_good_as_boosting_or_says_that_it_is_not(name, tmp_path):
    source, target, drop, *_ = TABLES[name]
    words = ["train", path_of(source), "--out", str(tmp_path / "run")]
    words += ["--target", target] if target else []
    words += [word for column in drop for word in ("--drop", column)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    boosting = next(other["accuracy"] for other in metrics["baselines"] if "boosting" in other["name"])
    print(f"{name}: {metrics['accuracy']:.3f}, boosting {boosting:.3f}")
    assert metrics["accuracy"] >= boosting - 0.01 or "not this network; ahead of it by" in result.stdout
