"""Binary losses of data sets with void labels and weighted samples, on every backend: as cross_entropy has them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

import crossent
from crossent import nn
from crossent.errors import OptionError, ProbabilityError, ShapeError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(4, 3)) * 3
Y = np.array([[1, 0, 255], [0, 255, 1], [255, 255, 255], [0, 1, 0]])
LIVE = Y != 255
ROWS = np.array([0.5, 2.0, 1.0, 3.0])
LOGITS = crossent.binary_cross_entropy_with_logits
PROBABILITIES = crossent.binary_cross_entropy
FUNCTIONS = [LOGITS, PROBABILITIES]
WEIGHTS = {"none": None, "samples": ROWS, "elements": GENERATOR.random((4, 3)), "negative": np.array([1.0, -3, 1, 1])}
OPTIONS: list[dict] = [
    {},
    {"label_smoothing": 0.2},
    {"weight": np.array([1.0, 2.0, 0.5])},
    {"pos_weight": np.array([3.0, 1.0, 0.5])},
]


def given(function: Any, x: np.ndarray) -> np.ndarray:
    """Logits, or their probabilities."""
    return x if function is LOGITS else 1 / (1 + np.exp(-x))


def formula(y: np.ndarray, live: np.ndarray, rows: Any, reduction: str, **options: Any) -> Any:
    """The loss written out again, and its derivative by the logits."""
    share = live * 1.0 if rows is None else live * (rows if np.ndim(rows) == 2 else rows[:, None])
    smoothing = options.get("label_smoothing", 0.0)
    y = (1 - smoothing) * np.where(live, y, 0) + smoothing / 2
    positive, negative = y * options.get("pos_weight", 1.0), 1 - y
    weight = share * options.get("weight", 1.0)
    p = 1 / (1 + np.exp(-X))
    loss = -weight * (positive * np.log(p) + negative * np.log1p(-p))
    slope = weight * (negative * p - positive * (1 - p))
    if reduction == "none":
        return loss, slope
    scale = share.sum() if reduction == "mean" else 1.0
    return loss.sum() / scale, slope / scale


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("rows", WEIGHTS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_void_labels_and_weighted_samples(backend: Any, function: Any, rows: str, reduction: str) -> None:
    for options in OPTIONS:
        expected, _ = formula(Y, LIVE, WEIGHTS[rows], reduction, **options)
        own = {name: backend.array(v, "float64") if np.ndim(v) else v for name, v in options.items()}
        weight = WEIGHTS[rows] if WEIGHTS[rows] is None else backend.array(WEIGHTS[rows], "float64")
        x = backend.array(given(function, X), "float64")
        value = function(x, backend.array(Y), ignore_index=255, sample_weight=weight, reduction=reduction, **own)
        np.testing.assert_allclose(backend.numpy(value), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rows", WEIGHTS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_their_derivatives(differentiating: Any, rows: str, reduction: str) -> None:
    for options in OPTIONS:
        _, expected = formula(Y, LIVE, WEIGHTS[rows], reduction, **options)
        weight = WEIGHTS[rows] if WEIGHTS[rows] is None else differentiating.array(WEIGHTS[rows], "float64")
        own = {name: differentiating.array(v, "float64") if np.ndim(v) else v for name, v in options.items()}
        _, slope = differentiating.gradient(
            lambda x, own=own, weight=weight: LOGITS(
                x, differentiating.array(Y), ignore_index=255, sample_weight=weight, reduction=reduction, **own
            ),
            differentiating.array(X, "float64"),
            np.ones((4, 3)) if reduction == "none" else None,
        )
        np.testing.assert_allclose(differentiating.numpy(slope), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_ignored_may_hold_anything(backend: Any, dtype: str, bad: float) -> None:
    if dtype not in backend.dtypes:
        pytest.skip(f"{backend.name} has no {dtype}")
    for function in FUNCTIONS:
        x = given(function, X)
        clean = function(backend.array(x, dtype), backend.array(Y), ignore_index=255)
        spoilt = function(backend.array(np.where(LIVE, x, bad), dtype), backend.array(Y), ignore_index=255)
        assert np.isfinite(backend.numpy(clean))
        assert backend.numpy(clean) == backend.numpy(spoilt)
        rows = backend.array([1.0, 0.0, 2.0, 1.0])
        dead = np.where(np.arange(4)[:, None] == 1, bad, x)
        whole = [backend.numpy(function(backend.array(v, dtype), backend.array(LIVE * 1.0), sample_weight=rows))
                 for v in (x, dead)]  # fmt: skip
        assert whole[0] == whole[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_of_it_reaches_the_gradient(differentiating: Any, bad: float) -> None:
    x = differentiating.array(np.where(LIVE, X, bad), "float64")
    _, slope = differentiating.gradient(lambda x: LOGITS(x, differentiating.array(Y), ignore_index=255), x)
    slope = differentiating.numpy(slope)
    assert (slope[~LIVE] == 0).all()
    np.testing.assert_allclose(slope, formula(Y, LIVE, None, "mean")[1], rtol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_nothing_left(backend: Any, function: Any) -> None:
    x, y = backend.array(given(function, X), "float64"), backend.array(np.full((4, 3), 255))
    assert np.isnan(backend.numpy(function(x, y, ignore_index=255)))
    assert backend.numpy(function(x, y, ignore_index=255, on_empty="zero")) == 0
    assert backend.numpy(function(x, y, ignore_index=255, reduction="sum")) == 0
    assert backend.numpy(function(x, y, ignore_index=255, denominator=7.0)) == 0


@pytest.mark.parametrize("value", [255, -1, -100, 2, 7])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_label_outside_names_the_option(backend: Any, function: Any, value: int) -> None:
    y = np.where(LIVE, Y, value)
    wanted = {2: "labels are 0 or 1", 7: "labels are 0 or 1"}.get(value, f"use ignore_index={value}")
    with pytest.raises(ProbabilityError, match=f"target holds {value}, expected 0 … 1: .*{re.escape(wanted)}"):
        function(backend.array(given(function, X), "float64"), backend.array(y))
    if value < 0:
        assert np.isfinite(backend.numpy(function(backend.array(given(function, X)), y, ignore_index=value)))


def test_images_of_0_and_255_are_told_apart() -> None:
    with pytest.raises(ProbabilityError, match="for labels 0 and 255 use target / 255; is 255 the label of pixels"):
        LOGITS(X, np.where(LIVE, 0, 255))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int64, torch.float16, torch.bool])
def test_labels_of_every_dtype(dtype: torch.dtype) -> None:
    y = torch.tensor([0, 1, 1]).to(dtype)
    ignored = LOGITS(torch.zeros(3), y, ignore_index=-255)  # 1 in eight bits
    torch.testing.assert_close(ignored, torch.tensor(0.5).log().neg())
    assert LOGITS(torch.tensor([9.0, 0.0, 0.0]), y, ignore_index=0) == ignored


def test_modules() -> None:
    x, y, rows = torch.from_numpy(X), torch.from_numpy(Y), torch.from_numpy(ROWS)
    loss = nn.BCEWithLogitsLoss(ignore_index=255, pos_weight=[3.0, 1.0, 0.5])
    expected, _ = formula(Y, LIVE, ROWS, "mean", pos_weight=np.array([3.0, 1.0, 0.5]))
    torch.testing.assert_close(loss(x, y, sample_weight=rows).item(), expected)
    assert repr(loss) == "BCEWithLogitsLoss(ignore_index=255)"
    torch.testing.assert_close(nn.BCELoss(ignore_index=255)(x.sigmoid(), y, sample_weight=rows),
                               PROBABILITIES(x.sigmoid(), y, ignore_index=255, sample_weight=rows))  # fmt: skip
    with pytest.raises(OptionError, match=r"ignore_index=1\.5, expected an integer"):
        nn.BCEWithLogitsLoss(ignore_index=1.5)
    assert nn.BCELoss(ignore_index=None)(x.sigmoid(), torch.ones(4, 3)) > 0


def test_weights_of_samples_have_their_shape() -> None:
    with pytest.raises(ShapeError, match=r"sample_weight has shape \(3,\), expected \(4, 3\): one for each"):
        LOGITS(X, LIVE, sample_weight=np.ones(3))
    assert LOGITS(0.0, 1, sample_weight=2.0) == np.log(2)


def test_derivatives_by_the_weights_and_of_second_order() -> None:
    x, rows = torch.from_numpy(X).requires_grad_(), torch.from_numpy(ROWS).requires_grad_()

    def loss(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return LOGITS(x, torch.from_numpy(Y), ignore_index=255, sample_weight=rows)

    assert torch.autograd.gradcheck(loss, (x, rows))
    assert torch.autograd.gradgradcheck(lambda x: loss(x, rows.detach()), x)


def test_compiled_and_exported() -> None:
    x, y = torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return LOGITS(x, y, ignore_index=255, sample_weight=torch.from_numpy(ROWS))

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), loss(x))
    torch.testing.assert_close(torch.autograd.grad(compiled(x), x)[0], torch.autograd.grad(loss(x), x)[0])
