"""The laws of the definition: what `merge` must satisfy, and what no chunking, shift or rounding may change."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crossent import _definition as definition
from crossent import _functions

IDENTITY = (-math.inf, -1.0, 0.0, 0.0, 0, 0.0)
finite = st.floats(-50, 50)
logit = finite | st.just(-math.inf)
rows_of_logits = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=logit)


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


def statistics(z: np.ndarray, q: np.ndarray, offset: int = 0) -> definition.RowStats:
    s = definition.row_stats(z, q, moment=True)
    return s._replace(a=s.a + offset)


def target_for(z: np.ndarray) -> np.ndarray:
    return np.random.default_rng(z.shape[1]).random(z.shape)


def blocks(z: np.ndarray, q: np.ndarray, cuts: list[int]) -> list[definition.RowStats]:
    edges = [0, *sorted(cuts), z.shape[1]]
    return [statistics(z[:, i:j], q[:, i:j], i) for i, j in itertools.pairwise(edges) if i < j]


def assert_same(one: definition.RowStats, two: definition.RowStats) -> None:
    for name, a, b in zip(one._fields, one, two, strict=True):
        if name != "a":
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=name)
    for value in (definition.loss, definition.lse, definition.entropy, definition.confidence):
        np.testing.assert_allclose(value(one), value(two), rtol=1e-12, atol=1e-12)


@given(rows_of_logits)
def test_identity(z: np.ndarray) -> None:
    s = statistics(z, target_for(z))
    nothing = definition.RowStats(*(np.full_like(part, value) for part, value in zip(s, IDENTITY, strict=True)))
    assert_same(definition.merge(s, nothing), s)
    assert_same(definition.merge(nothing, s), s)
    assert_same(definition.merge(nothing, nothing), nothing)


@given(rows_of_logits, st.data())
def test_any_chunking_in_any_order_gives_the_same_answer(z: np.ndarray, data: st.DataObject) -> None:
    q = target_for(z)
    parts = blocks(z, q, data.draw(st.lists(st.integers(0, z.shape[1]), max_size=4)))
    parts = data.draw(st.permutations(parts))
    while len(parts) > 1:  # a random bracketing: associativity
        i = data.draw(st.integers(0, len(parts) - 2))
        parts[i : i + 2] = [definition.merge(parts[i], parts[i + 1])]
    assert_same(parts[0], statistics(z, q))


@given(rows_of_logits, rows_of_logits)
def test_commutativity(one: np.ndarray, two: np.ndarray) -> None:
    n = min(len(one), len(two))
    a, b = (statistics(z[:n], target_for(z)[:n]) for z in (one, two))
    assert_same(definition.merge(a, b), definition.merge(b, a))


def test_merge_when_either_side_has_no_finite_logit() -> None:
    z = np.array([[-math.inf, -math.inf, 1.0, 2.0], [1.0, 2.0, -math.inf, -math.inf]])
    q = np.array([[0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    merged = definition.merge(*blocks(z, q, [2]))
    np.testing.assert_allclose(definition.loss(merged), math.log1p(math.exp(-1)), rtol=1e-15)
    np.testing.assert_array_equal(merged.a, [3, 1])


def test_a_target_on_a_class_without_mass_costs_infinity_in_any_chunking() -> None:
    z, q = np.array([[-math.inf, 0.0, 1.0]]), np.array([[0.5, 0.5, 0.0]])
    for cuts in ([], [1], [2], [1, 2]):
        parts = blocks(z, q, cuts)
        total = parts[0]
        for part in parts[1:]:
            total = definition.merge(total, part)
        assert definition.loss(total) == math.inf


def test_merge_keeps_a_row_with_nan_or_infinity_nan() -> None:
    z = np.array([[math.nan, 1.0, 2.0, 0.0], [1.0, 2.0, math.inf, 0.0], [math.inf, 0.0, math.inf, 1.0]])
    q = np.eye(4)[[1, 1, 1]]
    for order in (1, -1):
        assert np.isnan(definition.loss(definition.merge(*blocks(z, q, [2])[::order]))).all()
    assert definition.lse(definition.merge(*blocks(z, q, [2])))[1:].tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 1e3, -1e6, 1e6, 1e8])
def test_shift_invariance(dtype: type, offset: float) -> None:
    z = np.array([[0.0, 8.0, 16.0, 24.0, 32.0]], dtype=dtype)  # every sum below is exact, in float32 too
    q = np.eye(5, dtype=dtype)[[3]]
    s, shifted = (definition.row_stats(x, q, moment=True) for x in (z, z + dtype(offset)))
    assert definition.loss(s) == definition.loss(shifted) > 8
    assert definition.entropy(s) == definition.entropy(shifted)
    np.testing.assert_array_equal(definition.gradient(z, q), definition.gradient(z + dtype(offset), q))


@settings(max_examples=50)
@given(hnp.arrays(np.float64, (3, 6), elements=finite))
def test_gradient_against_finite_differences(z: np.ndarray) -> None:
    q, step = target_for(z), 1e-6
    for i, j in np.ndindex(*z.shape):
        up, down = z.copy(), z.copy()
        up[i, j] += step
        down[i, j] -= step
        slope = (_functions.row_loss(up, q)[i] - _functions.row_loss(down, q)[i]) / (2 * step)
        assert definition.gradient(z, q)[i, j] == pytest.approx(slope, abs=2e-7 * (1 + abs(z).max()))


def test_gradient_of_a_confident_row_keeps_its_relative_accuracy() -> None:
    for gap in (17.0, 40.0, 80.0):
        z, q = np.array([[gap, 0.0, 0.0]], dtype=np.float32), np.eye(3, dtype=np.float32)[[0]]
        exact = -2 * math.exp(-gap) / (1 + 2 * math.exp(-gap))
        assert definition.gradient(z, q)[0, 0] == pytest.approx(exact, rel=1e-6)
        assert _functions.row_loss(z, q)[0] == pytest.approx(-exact, rel=1e-6)


def test_gradient_of_a_wrong_row_with_many_classes_keeps_its_relative_accuracy() -> None:
    z = np.random.default_rng(0).normal(size=(2, 50_000)).astype(np.float32)
    q = np.zeros_like(z)
    q[:, 7] = 1
    exact = definition.gradient(z.astype(np.float64), q.astype(np.float64))
    np.testing.assert_allclose(definition.gradient(z, q), exact, rtol=3e-6)


@given(hnp.arrays(np.float64, 7, elements=finite), hnp.arrays(np.float64, 7, elements=st.floats(0, 1)))
def test_the_binary_loss_is_the_two_class_case(x: np.ndarray, y: np.ndarray) -> None:
    z, q = np.stack([x, np.zeros_like(x)], -1), np.stack([y, 1 - y], -1)
    np.testing.assert_allclose(_functions.binary_loss(x, y, 1 - y), _functions.row_loss(z, q), rtol=1e-14, atol=1e-300)
    wanted = definition.gradient(z, q)[:, 0]
    np.testing.assert_allclose(_functions.binary_gradient(x, y, 1 - y), wanted, rtol=1e-12, atol=1e-15)
    two, binary = definition.row_stats(z, q), _functions.binary_row_stats(x, y, 1 - y)
    for a, b in zip(two[:4], binary[:4], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-14)


def test_the_definition_under_plain_autodiff() -> None:
    z = torch.randn(4, 5, dtype=torch.float64).requires_grad_()
    q = torch.rand(4, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(_functions.row_loss, (z, q), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(_functions.row_loss, (z, q))
    (slope,) = torch.autograd.grad(_functions.row_loss(z, q).sum(), z)
    torch.testing.assert_close(slope, definition.gradient(z, q))


def test_entropy_and_confidence() -> None:
    z = np.random.default_rng(1).normal(size=(20, 6)) * 5
    s = definition.row_stats(z, np.zeros_like(z), moment=True)
    p = _functions.softmax(z)
    np.testing.assert_allclose(definition.entropy(s), -(p * _functions.log_softmax(z)).sum(-1), rtol=1e-12)
    np.testing.assert_allclose(definition.confidence(s), p.max(-1), rtol=1e-14)
