"""Beside other models, columns that count, explanations, comparisons of runs, and the report in Chinese."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from crossent.classify import data, influence, preprocessing
from crossent.classify.baselines import Baseline, baselines, verdict
from crossent.classify.language import translator
from crossent.classify.paired import Difference, difference, mean_interval
from crossent.cli import main

ROWS = 400


def table(seed=0):
    """The label hangs on a number and a text, a little on a date; one column is noise."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "strong": random.normal(size=ROWS),
            "colour": random.choice(["red", "blue", "white"], ROWS),
            "noise": random.normal(size=ROWS),
            "when": pd.date_range("2024-01-01", periods=ROWS).strftime("%Y-%m-%d"),
            "word": random.choice(["a_b", "a", "3_x"], ROWS),
        }
    )
    frame.loc[::11, "noise"] = np.nan
    score = 2 * frame["strong"] + 2.5 * (frame["colour"] == "red") - 0.8 + random.normal(size=ROWS) * 0.5
    return frame.assign(label=np.where(score > 0, "yes", "no"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs of the same table, and their data."""
    place = tmp_path_factory.mktemp("runs")
    table().to_csv(place / "t.csv", index=False)
    for name, *words in (("wide",), ("poor", "--epochs", "1", "--hidden", "0"), ("chinese", "--lang", "zh")):
        more = [] if name == "wide" else ["--no-baselines"]
        command = ["train", str(place / "t.csv"), "--out", str(place / name), "--epochs", "15", "--seed", "1", *words]
        result = CliRunner().invoke(main, command + more)
        assert result.exit_code == 0, result.output
        (place / f"{name}.txt").write_text(result.stdout)
    return place


def invoke(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


# --- baselines --------------------------------------------------------------------------------------------------------


def test_baselines_are_scikit_learns_on_the_same_split(folder):
    train, held_out = data.split(data.load(str(folder / "t.csv")), 0.2, seed=1)
    transformer, _ = preprocessing.fit(train.features)
    x, x_out = (preprocessing.transform(transformer, part.features) for part in (train, held_out))
    expected = {
        "most frequent class": max(np.mean(held_out.labels == "yes"), np.mean(held_out.labels == "no")),
        "logistic regression": LogisticRegression(max_iter=300).fit(x, train.labels).score(x_out, held_out.labels),
        "boosting (HistGradientBoosting)": HistGradientBoostingClassifier(random_state=1, early_stopping=False)
        .fit(x, train.labels)
        .score(x_out, held_out.labels),
    }
    metrics = json.loads((folder / "wide" / "metrics.json").read_text())
    for found in metrics["baselines"]:
        assert found["accuracy"] == pytest.approx(expected.pop(found["name"]))
        assert found["ahead"]["value"] == pytest.approx(metrics["accuracy"] - found["accuracy"])
    assert not expected
    said = (folder / "wide.txt").read_text()
    assert "beside it          most frequent class" in said
    assert "best: " in said
    assert "best: " not in (folder / "poor.txt").read_text()


def test_who_is_best_is_said_honestly():
    def others(ahead, low, high):
        return [Baseline("boosting", 0.9 - ahead, 0.3, 1.0, 100, Difference(ahead, low, high))]

    assert verdict(others(-0.05, -0.08, -0.02), 0.9) == (
        "best: boosting, not this network; ahead of it by +5.0 points (95 % interval +2.0 to +8.0)"
    )
    assert verdict(others(-0.05, -0.12, 0.02), 0.9).endswith("; these rows do not tell them apart")
    assert verdict(others(0.05, 0.02, 0.08), 0.9).startswith("best: this network, ahead of boosting by +5.0 points")
    assert verdict(others(0.0, -0.1, 0.1), 0.9) == "best: this network and boosting are right as often"


def test_a_class_that_is_not_in_training_and_large_data_do_not_stop_the_baselines(monkeypatch):
    monkeypatch.setattr("crossent.classify.baselines.MOST_WORK", 1e5)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(3000, 4)).astype(np.float32), random.integers(0, 3, 3000)
    found = baselines(x[y < 2], y[y < 2], x[:100], y[:100], np.ones(100, bool), seed=0)
    assert found[-1].rows == 1000
    assert all(np.isfinite(other.loss) for other in found)


def test_paired_intervals_are_narrower_than_those_of_each():
    random = np.random.default_rng(0)
    hard = random.normal(size=2000)
    one, two = hard + random.normal(size=2000) * 0.1, hard + 0.05 + random.normal(size=2000) * 0.1
    paired = difference(one, two)
    assert paired.sure
    assert paired.low < -0.05 < paired.high
    alone = mean_interval(one)
    assert paired.high - paired.low < (alone.high - alone.low) / 5


# --- columns that count -----------------------------------------------------------------------------------------------


def test_importance_ranks_the_columns(folder):
    metrics = json.loads((folder / "wide" / "metrics.json").read_text())["importance"]
    assert list(metrics)[:2] == ["strong", "colour"]
    assert metrics["strong"]["low"] > 0
    assert abs(metrics["noise"]["value"]) < metrics["colour"]["value"] / 4
    assert set(metrics) == {"strong", "colour", "noise", "when", "word"}


def test_each_input_belongs_to_its_column():
    frame = table().drop(columns="label").assign(prose=["some words of prose here " + str(i) for i in range(ROWS)])
    transformer, _ = preprocessing.fit(frame)
    inputs = influence.inputs_of(transformer)
    assert sorted(np.concatenate(list(inputs.values())).tolist()) == list(
        range(preprocessing.transform(transformer, frame).shape[1])
    )
    assert [len(inputs[name]) for name in ("strong", "colour", "noise", "when", "word")] == [1, 3, 1, 4, 3]
    before = preprocessing.transform(transformer, frame)
    for name, value in (
        ("colour", "red"),
        ("word", "a_b"),
        ("strong", 9.0),
        ("when", "2020-05-05"),
        ("prose", "words"),
    ):
        changed = preprocessing.transform(transformer, frame.assign(**{name: value})) != before
        assert set(np.flatnonzero(changed.any(axis=0))) <= set(inputs[name].tolist())
        assert changed.any()


def test_occlusion_of_a_linear_model_is_its_terms():
    frame = table().drop(columns="label")
    transformer, _ = preprocessing.fit(frame)
    x, inputs = preprocessing.transform(transformer, frame), influence.inputs_of(transformer)

    def probabilities(rows):
        p = 1 / (1 + np.exp(-2 * rows[:, inputs["strong"][0]]))
        return np.stack([1 - p, p], axis=1)

    falls = influence.occlusion(probabilities, transformer, x)
    assert not np.any(falls["noise"])
    median = np.median(frame["strong"])
    high = frame["strong"].to_numpy() > max(median, 0) + 1
    assert np.all(falls["strong"][high] > 0)
    expected = (
        probabilities(x)[high].max(axis=1)
        - probabilities(preprocessing.transform(transformer, frame.assign(strong=median)))[high, 1]
    )
    np.testing.assert_allclose(falls["strong"][high], expected, atol=1e-6)


def test_predict_explains_by_named_columns(folder):
    result = invoke("predict", folder / "wide", folder / "t.csv", "--explain", "--out", folder / "p.csv")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(folder / "p.csv")
    assert found["explanation"].str.contains("strong=").mean() > 0.9
    first = re.findall(r"(\w+)=(\S+) \(([+-]\d\.\d{3})\)", found["explanation"][0])
    assert len(first) == 3
    shares = [abs(float(share)) for *_, share in first]
    assert shares == sorted(shares, reverse=True)
    assert {name: value for name, value, _ in first}["strong"] == f"{table()['strong'][0]:.6g}"


def test_pictures_have_no_columns_to_name(tmp_path):
    assert (
        invoke("train", "digits", "--epochs", "1", "--no-baselines", "--out", tmp_path / "r", "--quiet").exit_code == 0
    )
    result = invoke("predict", tmp_path / "r", "digits", "--explain")
    assert result.exit_code == 2
    assert "--explain names columns" in result.stderr


# --- runs and compare -------------------------------------------------------------------------------------------------


def test_runs_are_listed(folder):
    lines = invoke("runs", folder).stdout.splitlines()
    assert lines[0].split()[:3] == ["run", "data", "accuracy"]
    assert [line.split()[1] for line in lines[1:]] == ["t.csv"] * 3
    assert "%" in lines[1]
    assert "no folder" in invoke("runs", folder / "nowhere").stderr
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("{")
    assert any("broken" in line and "damaged" in line for line in invoke("runs", folder).stdout.splitlines())


def test_compare_is_paired_on_the_same_rows(folder):
    text = invoke("compare", folder / "wide", folder / "poor").stdout
    tables = [pd.read_csv(folder / name / "held_out_predictions.csv") for name in ("wide", "poor")]
    right = [(found["true"] == found["predicted"]).mean() for found in tables]
    assert f"accuracy   {right[0]:.1%} and {right[1]:.1%}: {100 * (right[0] - right[1]):+.1f} points" in text
    assert "verdict    " in text
    assert str(folder / "wide") + " is better" in text
    same = invoke("compare", folder / "wide", folder / "wide").stdout
    assert "no difference that these rows can show" in same


def test_compare_refuses_what_is_not_comparable(folder, tmp_path):
    table(seed=5).to_csv(tmp_path / "other.csv", index=False)
    words = ["--epochs", "1", "--no-baselines", "--out", tmp_path / "other", "--quiet"]
    assert invoke("train", tmp_path / "other.csv", *words).exit_code == 0
    result = invoke("compare", folder / "wide", tmp_path / "other")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "not trained on the same data" in result.stderr
    assert invoke("compare", folder / "wide", tmp_path).exit_code == 2


# --- the page and the terminal ----------------------------------------------------------------------------------------


def test_the_page_has_it_all_and_is_dark_where_the_reader_is(folder):
    page = (folder / "wide" / "report.html").read_text()
    for heading in ("Beside other models", "Columns that count", "partial dependence"):
        assert heading in page
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"fill: #000000|stroke: #000000|#1e293b[;\"](?!.*--)", page[page.index("<body>") :])
    assert page.count("var(--ink)") > 20


def test_the_page_in_chinese(folder):
    page = (folder / "chinese" / "report.html").read_text()
    assert '<html lang="zh-CN">' in page
    for heading in ("学习曲线", "混淆矩阵", "校准", "最出乎意料的行", "起作用的列"):
        assert heading in page
    shown = re.sub(r"<style.*?</style>|<svg.*?</svg>|<table class=\"facts\">.*?</table>|<[^>]*>", " ", page, flags=re.S)
    english = set(re.findall(r"\b[a-z]{4,}\b", shown)) - set(table()) - set(table()["colour"]) - {"logits"}
    english -= {"crossent", "train", "epochs", "seed", "lang", "baselines", "pytest", "root", "runs", "chinese"}
    assert not {word for word in english if word not in str(folder)}, english


def test_every_translation_keeps_the_values():
    from crossent.classify.language import _table

    for english, chinese in _table("zh").items():
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", chinese)), english
    assert translator("zh")("not translated {x}") == "not translated {x}"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")
@pytest.mark.parametrize(("variable", "there"), [({}, True), ({"TQDM_DISABLE": "1"}, False)])
def test_a_progress_bar_is_for_a_terminal_and_can_be_disabled(tmp_path, variable, there):
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    words = [sys.executable, "-m", "crossent", "train", "iris", "--epochs", "2", "--no-baselines", "--out", "run"]
    subprocess.run(
        words, check=True, stderr=theirs, stdout=subprocess.DEVNULL, cwd=tmp_path, env={**os.environ, **variable}
    )
    os.set_blocking(ours, False)
    try:
        said = os.read(ours, 100_000).decode()
    except BlockingIOError:
        said = ""
    os.close(ours)
    os.close(theirs)
    assert ("epoch" in said) == there


def test_mistyped_commands_and_missing_devices_are_said_at_once(tmp_path):
    assert "did you mean 'train'?" in invoke("trian").stderr
    assert "there are tour, train" in invoke("zzzzzz").stderr
    result = invoke("train", tmp_path / "no_such_file.csv", "--device", "abacus", "--out", tmp_path / "r")
    assert "device 'abacus' is not available" in result.stderr  # before the data are looked for
