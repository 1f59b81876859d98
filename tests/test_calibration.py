"""Calibration: the error's arithmetic, the temperature's optimum, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossent.classify.calibration import (
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from crossent.errors import ClassIndexError, DtypeError, OptionError, ProbabilityError, ShapeError


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def sampled(rows=4000, classes=5, scale=2.0, seed=0):
    """Logits whose softmax is the true distribution of the labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * scale
    noise = generator.gumbel(size=logits.shape)
    return logits, (logits + noise).argmax(axis=1)


def test_error_by_hand():
    # bins of width 1/2: {0.9 right, 0.7 wrong, 0.6 right}; |2/3 − 2.2/3| = 0.2/3
    assert expected_calibration_error([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]], [0, 1, 1], bins=2) == pytest.approx(0.2 / 3)
    # bins of width 1/5: (0.8, 1] {0.9}, (0.6, 0.8] {0.7}, (0.4, 0.6] {0.6}
    assert expected_calibration_error([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]], [0, 1, 1], bins=5) == pytest.approx(1.2 / 3)


def test_default_is_fifteen_bins_and_edges_belong_to_the_lower_bin():
    table = reliability([[1.0, 0.0], [0.8, 0.2]], [0, 0])
    assert len(table.counts) == 15
    assert table.counts[14] == 1
    assert reliability([[0.8, 0.2]], [0], bins=5).counts.tolist() == [0, 0, 0, 1, 0]


def test_one_column_is_the_probability_of_class_one():
    assert expected_calibration_error([0.9, 0.2], [1, 1]) == expected_calibration_error(
        [[0.1, 0.9], [0.8, 0.2]], [1, 1]
    )


def test_a_calibrated_model_has_a_small_error_and_a_temperature_near_one():
    logits, labels = sampled()
    assert expected_calibration_error(softmax(logits), labels) < 0.03
    assert fit_temperature(logits, labels) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_temperature_undoes_a_scale(factor):
    logits, labels = sampled()
    temperature = fit_temperature(logits * factor, labels)
    assert temperature == pytest.approx(factor * fit_temperature(logits, labels), rel=1e-3)
    before = expected_calibration_error(softmax(logits * factor), labels)
    after = expected_calibration_error(apply_temperature(logits * factor, temperature), labels)
    assert after < 0.03 < before


def test_temperature_is_the_minimum():
    logits, labels = sampled(rows=300)

    def loss(temperature):
        return -np.log(softmax(logits / temperature)[np.arange(len(labels)), labels]).mean()

    best = fit_temperature(logits, labels)
    assert loss(best) <= min(loss(best * 1.01), loss(best / 1.01))


def test_one_logit_is_the_binary_case():
    logits, labels = sampled(classes=2, rows=500)
    difference = logits[:, 1] - logits[:, 0]
    expected = fit_temperature(logits, labels)
    assert fit_temperature(difference, labels) == pytest.approx(expected, rel=1e-6)
    assert fit_temperature(difference[:, None], labels) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(apply_temperature(difference[:, None], 2.0), softmax(logits / 2.0), rtol=1e-12)


def test_all_right_is_left_as_it_is():
    assert fit_temperature([[5.0, 0.0], [0.0, 5.0]], [0, 1]) == 1.0


def test_all_wrong_is_as_soft_as_it_gets():
    assert fit_temperature([[5.0, 0.0], [0.0, 5.0]], [1, 0]) == pytest.approx(20, rel=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(2, 6))
def test_the_error_is_between_zero_and_one_and_forgets_the_order(seed, rows, classes):
    generator = np.random.default_rng(seed)
    probabilities, labels = generator.dirichlet(np.ones(classes), rows), generator.integers(0, classes, rows)
    error = expected_calibration_error(probabilities, labels)
    order = generator.permutation(rows)
    assert 0 <= error <= 1
    assert expected_calibration_error(probabilities[order], labels[order]) == pytest.approx(error, abs=1e-12)


@pytest.mark.parametrize(
    ("probabilities", "labels", "bins", "error", "text"),
    [
        ([[2.0, 1.0]], [0], 15, ProbabilityError, "sums to 3"),
        ([[1.5, -0.5]], [0], 15, ProbabilityError, "smallest value is -0.5"),
        ([[np.nan, 1.0]], [0], 15, ProbabilityError, "row 0"),
        ([[0.5, 0.5]], [2], 15, ClassIndexError, "outside 0 … 1"),
        ([[0.5, 0.5]], [0, 1], 15, ShapeError, r"\(2,\); \(1,\)"),
        ([[0.5, 0.5]], [0.0], 15, DtypeError, "integer"),
        ([["a", "b"]], [0], 15, DtypeError, "real numbers"),
        ([[0.5, 0.5]], [0], 0, OptionError, "at least 1"),
        (np.empty((0, 2)), [], 15, ShapeError, "at least one row"),
    ],
)
def test_what_is_refused(probabilities, labels, bins, error, text):
    with pytest.raises(error, match=text):
        expected_calibration_error(probabilities, labels, bins=bins)


def test_a_logit_that_is_not_finite_is_refused():
    with pytest.raises(ProbabilityError, match="NaN or infinity"):
        fit_temperature([[np.inf, 0.0]], [0])
