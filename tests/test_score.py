"""`crossent score`: the figures against scikit-learn's, every format, what is refused and in which words."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from crossent.classify.calibration import expected_calibration_error, fit_temperature
from crossent.cli import main
from crossent.score import scoring, stored, totals
from crossent.score.scoring import score_files

RUNNER = CliRunner()


def drawn(rows=700, classes=5, seed=0):
    """Logits that are twice too sure, and targets."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 1.5
    return logits * 2, (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture
def saved(tmp_path):
    """Save arrays as .npy files and give their paths."""

    def save(**arrays):
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        return [str(tmp_path / f"{name}.npy") for name in arrays]

    return save


def run(*words):
    return RUNNER.invoke(main, ["score", *map(str, words)])


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that every test goes over their borders."""
    monkeypatch.setattr(stored, "BLOCK_BYTES", 4 * 5 * 37)
    monkeypatch.setattr(stored, "ROWS_OF_VECTORS", 37)


# --- the figures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_figures_are_scikit_learns(saved, small_blocks, kind):
    logits, y = drawn()
    p = softmax(logits)
    z_file, y_file = saved(z=logits if kind == "logits" else p, y=y)
    found = score_files(z_file, y_file, probabilities=kind == "probabilities", top=2)
    assert found.loss.value == pytest.approx(log_loss(y, p))
    assert found.perplexity.value == pytest.approx(math.exp(log_loss(y, p)))
    assert found.accuracy.value == accuracy_score(y, p.argmax(axis=1))
    assert found.top_accuracy.value == top_k_accuracy_score(y, p, k=2)
    assert found.brier.value == pytest.approx(brier_score_loss(y, p, labels=range(5), scale_by_half=False))
    assert found.reliability.error == pytest.approx(expected_calibration_error(p, y))
    assert found.temperature == pytest.approx(fit_temperature(logits, y), rel=1e-3)
    assert found.loss_at_temperature < found.loss_of_sample == pytest.approx(found.loss.value)
    precision, recall, _, support = precision_recall_fscore_support(y, p.argmax(axis=1))
    np.testing.assert_allclose(found.hits / found.predicted, precision)
    np.testing.assert_allclose(found.hits / found.support, recall)
    assert found.support.tolist() == support.tolist()
    assert found.class_loss.sum() / 700 == pytest.approx(found.loss.value)


def test_intervals_cover_and_are_of_the_right_width(saved):
    logits, y = drawn(4000)
    found = score_files(*saved(z=logits, y=y))
    losses = -np.log(softmax(logits)[np.arange(4000), y])
    error = 1.96 * losses.std() / 4000**0.5
    assert found.loss.low == pytest.approx(losses.mean() - error, abs=error / 8)
    assert found.loss.high == pytest.approx(losses.mean() + error, abs=error / 8)


def test_groups_of_many_rows_have_the_intervals_of_rows(saved, monkeypatch):
    logits, y = drawn(4000)
    paths = saved(z=logits, y=y)
    by_row = score_files(*paths)
    monkeypatch.setattr(totals, "GROUPS", 150)
    by_group = score_files(*paths)
    assert by_group.loss.value == pytest.approx(by_row.loss.value, rel=1e-12)
    assert by_group.loss.high - by_group.loss.low == pytest.approx(by_row.loss.high - by_row.loss.low, rel=0.2)


def test_a_sample_stands_for_many_rows(saved, small_blocks, monkeypatch):
    logits, y = drawn(4000)
    paths = saved(z=logits, y=y)
    whole = score_files(*paths)
    monkeypatch.setattr(scoring, "SAMPLE_VALUES", 5 * 1000)
    part = score_files(*paths)
    assert 500 <= part.sampled <= 1000
    assert part.temperature == pytest.approx(whole.temperature, rel=0.15)
    assert "on 1,000 of the rows" in run(*paths).stdout or f"on {part.sampled:,} of the rows" in run(*paths).stdout


def test_comparison_is_paired(saved, small_blocks):
    logits, y = drawn()
    noise = np.random.default_rng(1).normal(size=logits.shape) * 0.01
    z, target, other = saved(z=logits / 2, y=y, other=logits / 2 + noise + 0.02 * (logits > 2))
    found = score_files(z, target, other=other)
    difference = found.loss.value - found.comparison.scores.loss.value
    assert found.comparison.loss.value == pytest.approx(difference, abs=1e-12)
    width = found.comparison.loss.high - found.comparison.loss.low
    assert width < (found.loss.high - found.loss.low) / 10  # the rows' own spread cancels
    assert found.comparison.loss.low <= difference <= found.comparison.loss.high
    text = run(z, target, "--compare", other).stdout
    assert "compared with" in text
    assert score_files(z, target, other=z).comparison.loss == scoring.Interval(0, 0, 0)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(2, 6),
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.integers(0, 10**6),
    st.floats(0, 0.9),
)
def test_any_rows_give_the_definition(tmp_path_factory, rows, classes, dtype, seed, ignored):
    generator = np.random.default_rng(seed)
    logits = (generator.normal(size=(rows, classes)) * 4).astype(dtype)
    y = generator.integers(0, classes, rows)
    y[generator.random(rows) < ignored] = -100
    if (y == -100).all():
        y[0] = 0
    folder = tmp_path_factory.getbasetemp()
    np.save(folder / "z.npy", logits)
    np.save(folder / "y.npy", y)
    found = score_files(str(folder / "z.npy"), str(folder / "y.npy"), probabilities=False)
    kept = y != -100
    p = softmax(logits.astype(np.float64)[kept])
    assert found.loss.value == pytest.approx(-np.log(p[np.arange(kept.sum()), y[kept]]).mean(), rel=1e-5, abs=1e-6)
    assert found.brier.value == pytest.approx(
        ((p - np.eye(classes)[y[kept]]) ** 2).sum(axis=1).mean(), rel=1e-4, abs=1e-6
    )
    assert (found.rows, found.ignored) == (kept.sum(), (~kept).sum())


def test_language_model_shapes_and_bits_per_byte(saved):
    logits, y = drawn(600)
    y[:100] = -100
    z, target = saved(z=logits.reshape(20, 30, 5), y=y.reshape(20, 30))
    nats = log_loss(y[100:], softmax(logits)[100:], normalize=False)
    assert score_files(z, target).bits_per_byte(2000) == pytest.approx(nats / math.log(2) / 2000)
    text = run(z, target, "--bytes", 2000).stdout
    assert f"bits per byte     {nats / math.log(2) / 2000:.4f}" in text
    assert "500 of 5 classes, 100 more ignored" in text


@pytest.mark.parametrize("shape", [(700,), (700, 1)])
def test_one_score_a_row_is_two_classes(saved, shape):
    logits, y = drawn(classes=2)
    one = logits[:, 1] - logits[:, 0]
    z, p, target = saved(z=one.reshape(shape), p=softmax(logits)[:, 1].reshape(shape), y=y)
    expected = log_loss(y, softmax(logits))
    assert score_files(z, target).loss.value == pytest.approx(expected)
    assert score_files(p, target, probabilities=True).loss.value == pytest.approx(expected)


# --- formats ----------------------------------------------------------------------------------------------------------


def formats(folder, logits, y):
    """The same scores and targets in every format."""
    import torch
    from safetensors.numpy import save_file
    from safetensors.torch import save_file as save_torch

    frame = pd.DataFrame(logits, columns=[f"c{place}" for place in range(logits.shape[1])])
    np.save(folder / "z.npy", logits)
    np.save(folder / "z_columns.npy", np.asfortranarray(logits))
    np.save(folder / "y.npy", y)
    np.savez(folder / "plain.npz", logits=logits, targets=y)
    np.savez_compressed(folder / "packed.npz", logits=logits, targets=y.astype(np.int8))
    save_file({"logits": logits, "labels": y.astype(np.int32)}, folder / "t.safetensors")
    half = torch.from_numpy(logits.astype(np.float32)).bfloat16()
    save_torch({"logits": half, "labels": torch.from_numpy(y)}, folder / "half.safetensors")
    frame.to_csv(folder / "z.csv", index=False)
    frame.to_csv(folder / "plain.csv", index=False, header=False)
    frame.to_csv(folder / "z.csv.gz", index=False)
    frame.to_parquet(folder / "z.parquet")
    pd.DataFrame({"logits": list(logits), "label": y}).to_parquet(folder / "lists.parquet")
    pd.DataFrame({"label": [f"c{label}" for label in y], "note": "x"}).to_csv(folder / "y.csv", index=False)
    pd.DataFrame({"y": y}).to_parquet(folder / "y.parquet")


@pytest.mark.parametrize(
    ("scores", "targets"),
    [
        ("z.npy", "y.npy"),
        ("z_columns.npy", "y.npy"),
        ("plain.npz", "plain.npz"),
        ("packed.npz:logits", "packed.npz:targets"),
        ("t.safetensors", "t.safetensors"),
        ("half.safetensors", "half.safetensors"),
        ("z.csv", "y.csv"),
        ("z.csv.gz", "y.csv:label"),
        ("plain.csv", "y.npy"),
        ("z.parquet", "y.parquet"),
        ("lists.parquet:logits", "lists.parquet:label"),
        ("z.parquet", "y.csv"),
    ],
)
def test_every_format_gives_the_same(tmp_path, small_blocks, scores, targets):
    logits, y = drawn()
    formats(tmp_path, logits, y)
    found = score_files(str(tmp_path / scores), str(tmp_path / targets))
    exact = "half" not in scores
    assert found.loss.value == pytest.approx(log_loss(y, softmax(logits)), rel=1e-6 if exact else 1e-2)
    assert found.rows == 700


def test_what_predict_writes_is_read_by_the_names_of_its_classes(tmp_path):
    logits, y = drawn()
    p, names = softmax(logits), np.array(["10", "2", "b", "NA", "e"])
    table = {"label": names[p.argmax(axis=1)], "probability": p.max(axis=1)}
    table |= {f"probability_{name}": p[:, place] for place, name in enumerate(names)}
    pd.DataFrame(table).to_csv(tmp_path / "predictions.csv", index=False)
    pd.DataFrame({"x": 0, "label": names[y]}).to_csv(tmp_path / "data.csv", index=False)
    found = score_files(str(tmp_path / "predictions.csv"), str(tmp_path / "data.csv"), probabilities=True)
    assert found.loss.value == pytest.approx(log_loss(y, p))
    assert found.names == names.tolist()


# --- what is refused --------------------------------------------------------------------------------------------------


def changed(array, place, value):
    array = array.astype(np.float64, copy=True) if array.ndim > 1 else array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("scores", "targets", "options", "text"),
    [
        (lambda z: z[:600], lambda y: y, (), "has 600 rows (shape (600, 5)) and"),
        (lambda z: z.reshape(7, 5, 100), lambda y: y.reshape(7, 100), (), "the classes have to be the last axis"),
        (lambda z: z, lambda y: np.eye(5)[y], (), "argmax(axis=-1) turns one-hot rows into indices"),
        (
            lambda z: changed(z, (slice(40, 700, 100), 2), np.nan),
            lambda y: y,
            (),
            "(rows 41, 141, 241, 341, 441, …)",
        ),
        (
            lambda z: changed(z, (3, 2), np.inf),
            lambda y: y,
            (),
            "1 rows hold NaN or +infinity (or nothing but −infinity) (rows 4)",
        ),
        (lambda z: z, lambda y: changed(y, 9, 5), (), "1 rows have a target outside 0 … 4 that is not -100 (rows 10)"),
        (lambda z: z, lambda y: changed(y, 9, -1), (), "(rows 10)"),
        (lambda z: z, lambda y: y + 0.5, (), "is no class index"),
        (lambda z: z, lambda y: np.full_like(y, -100), (), "no row counts"),
        (softmax, lambda y: y, (), "look like probabilities; say --from-probs"),
        (lambda z: z, lambda y: y, ("--from-probs",), "700 rows are no probabilities"),
        (lambda z: changed(softmax(z), (5, 0), np.nan), lambda y: y, ("--from-probs",), "1 rows hold NaN"),
        (lambda z: z[0], lambda y: y, (), "has 5 rows"),
        (lambda z: z[:0], lambda y: y[:0], (), "holds no rows"),
        (lambda z: z.astype(str), lambda y: y, (), "numbers are needed"),
        (lambda z: np.array(3.0), lambda y: y, (), "single number"),
        (lambda z: z.astype(complex), lambda y: y, (), "numbers are needed"),
    ],
)
def test_what_is_wrong_is_one_line(saved, tmp_path, scores, targets, options, text):
    logits, y = drawn()
    result = run(*saved(z=scores(logits), y=targets(y)), *options, "--json", tmp_path / "s.json")
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert not result.stdout
    assert not (tmp_path / "s.json").exists()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("no.npy", None, "no such file"),
        ("a.npy", b"\x93NUMPY\x01\x00", "damaged"),
        ("a.npy", b"", "damaged"),
        ("a.npz", b"PK\x03\x04", "damaged"),
        ("a.safetensors", b"\xff" * 20, "cut off"),
        ("a.safetensors", b"\x02\0\0\0\0\0\0\0{}", "holds 0 arrays"),
        ("a.parquet", b"PAR1", "damaged"),
        ("a.csv", b"", "damaged"),
        ("a.csv", b"a,b\n1,x\n2,y\n", "column 'b' holds 'x'; scores are numbers"),
        ("a.csv", b"a,b\n1,2\n2\n3,4,5\n", "damaged|Expected 2"),
        ("a.pkl", b"x", "format is not known"),
    ],
)
def test_broken_files_are_one_line(saved, tmp_path, name, content, text):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (target,) = saved(y=drawn()[1])
    result = run(tmp_path / name, target)
    assert result.exit_code == 2
    assert any(part in result.stderr for part in text.split("|")), result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_was_cut_off_is_found_before_the_pass(saved, tmp_path):
    z, target = saved(z=drawn()[0], y=drawn()[1])
    whole = (tmp_path / "z.npy").read_bytes()
    (tmp_path / "z.npy").write_bytes(whole[:-8])
    assert "is cut off" in run(z, target).stderr
    np.savez_compressed(tmp_path / "z.npz", logits=drawn()[0])
    packed = (tmp_path / "z.npz").read_bytes()
    (tmp_path / "z.npz").write_bytes(packed[:2000] + packed[2100:])
    assert run(tmp_path / "z.npz", target).exit_code == 2


def test_text_files_of_different_lengths_are_told_at_their_end(tmp_path, small_blocks):
    pd.DataFrame(drawn()[0]).to_csv(tmp_path / "z.csv", index=False, header=False)
    pd.DataFrame({"y": drawn()[1][:650]}).to_csv(tmp_path / "y.csv", index=False)
    result = run(tmp_path / "z.csv", tmp_path / "y.csv")
    assert result.exit_code == 2
    assert "different numbers of rows" in result.stderr


def test_an_impossible_row_is_an_infinite_loss_and_said(saved, tmp_path):
    logits, y = drawn()
    logits[3, y[3]] = -np.inf
    z, target = saved(z=logits, y=y)
    result = run(z, target, "--json", tmp_path / "s.json")
    assert result.exit_code == 0
    assert "1 rows give their target no probability" in result.stdout
    figures = json.loads((tmp_path / "s.json").read_text())
    assert figures["cross_entropy"]["value"] is None
    assert figures["impossible_rows"] == 1


# --- what is written --------------------------------------------------------------------------------------------------


def test_json_and_page(saved, tmp_path):
    logits, y = drawn()
    z, target, other = saved(z=logits, y=y, other=logits / 2)
    result = run(z, target, "--compare", other, "--json", tmp_path / "s.json", "--html", tmp_path / "s.html")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "s.json").read_text())
    assert figures["cross_entropy"]["value"] == pytest.approx(log_loss(y, softmax(logits)))
    assert figures["comparison"]["cross_entropy_difference"]["low"] > 0
    page = (tmp_path / "s.html").read_text()
    assert page.count("<svg") == 2
    assert "Compared with the other" in page
    assert json.loads(run(z, target, "--json").stdout)["rows"] == 700


def test_an_interrupt_leaves_nothing_half_written(saved, tmp_path, monkeypatch):
    logits, y = drawn()
    paths = saved(z=logits, y=y)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(scoring, "score_block", stop)
    result = run(*paths, "--json", tmp_path / "s.json", "--html", tmp_path / "s.html")
    assert result.exit_code == 130
    assert "interrupted after 0 rows; nothing was written" in result.stderr
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """A sparse file of 400 MB takes less than 100 MB more than one of 4 MB."""

    def peak(rows):
        with (tmp_path / "z.npy").open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 1000)}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + rows * 4000)
        np.save(tmp_path / "y.npy", np.zeros(rows, np.int64))
        code = (
            "import re, sys; from crossent.score.scoring import score_files; score_files(*sys.argv[1:3]);"
            "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)"
        )
        words = [sys.executable, "-c", code, str(tmp_path / "z.npy"), str(tmp_path / "y.npy")]
        return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    assert peak(100_000) - peak(1_000) < 100
