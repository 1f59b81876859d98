"""The shortest way says what the general way says: any plain option, with class weights, of NumPy and of torch."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import crossent
from crossent.backends.cpu import kernels, plain
from crossent.errors import ClassIndexError, MisuseWarning, OptionError, UnknownOptionError

DTYPES = {"float32": 1e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}
PAIRS = [pair for pair in itertools.product(["numpy", "torch"], DTYPES) if pair != ("numpy", "bfloat16")]
OPTIONS: dict[str, Any] = {
    "reduction": st.sampled_from(["mean", "sum", "none"]),
    "ignore_index": st.sampled_from([-100, 2, 0]),
    "label_smoothing": st.sampled_from([0, 0.1, 1.0]),
    "z_loss": st.sampled_from([0.0, 1e-3, 2]),
    "softcap": st.sampled_from([None, 3.0, 30]),
    "temperature": st.sampled_from([0.5, 2, 1.0]),
    "check": st.sampled_from(["auto", True, False]),
}
needs_kernels = pytest.mark.skipif(kernels() is None, reason="the kernels are not built")


def arrays(library: str, dtype: str, *, rows: int = 9, classes: int = 5) -> tuple[Any, Any, Any]:
    """Logits, indices and class weights."""
    random = np.random.default_rng(0)
    x = torch.as_tensor(3 * random.normal(size=(rows, classes))).to(getattr(torch, dtype))
    y = torch.as_tensor(random.integers(0, classes, size=rows))
    weight = torch.as_tensor(random.random(classes)).to(torch.float64 if dtype == "float64" else torch.float32)
    return (x, y, weight) if library == "torch" else (x.numpy(), y.numpy(), weight.numpy())


def numbers(x: Any) -> np.ndarray:
    """The numbers of an array as float64."""
    return x.detach().double().numpy() if isinstance(x, torch.Tensor) else np.asarray(x, np.float64)


@pytest.mark.parametrize(("library", "dtype"), PAIRS)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@given(options=st.fixed_dictionaries({}, optional=OPTIONS))
def test_the_short_way_says_what_the_general_one_says(library, dtype, weighted, options) -> None:
    x, y, weight = arrays(library, dtype)
    weight = weight if weighted else None
    exact = {"axis": 1, **options}  # an axis that is given is the general way's
    wide = numbers(x)
    heavy = None if weight is None else numbers(weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MisuseWarning)
        short = crossent.cross_entropy(x, y, weight, **options)
        value, gradient = crossent.cross_entropy_with_grad(x, y, weight, **options)
        wanted, slope = crossent.cross_entropy_with_grad(wide, numbers(y).astype(int), heavy, **exact)
    bound = DTYPES[dtype]
    assert short.dtype == value.dtype == x.dtype
    assert type(short) is type(crossent.cross_entropy(x, y, weight, **exact))
    np.testing.assert_allclose(numbers(short), wanted, rtol=bound, atol=bound)
    np.testing.assert_allclose(numbers(value), wanted, rtol=bound, atol=bound)
    np.testing.assert_allclose(numbers(gradient), slope, rtol=4 * bound, atol=bound)


@needs_kernels
def test_these_calls_take_the_short_way() -> None:
    x, y, weight = arrays("numpy", "float32")
    options = {"reduction": "sum", "label_smoothing": 0.1, "z_loss": 1, "softcap": 3.0, "temperature": 2}
    assert plain.loss(x, y, None, {}) is not None
    assert plain.loss(x, y, weight, options) is not None
    for given_ in (
        {"axis": 1}, {"denominator": 3}, {"on_empty": "zero"}, {"reduction": "median"}, {"label_smoothing": 1.5},
        {"temperature": 0.0}, {"softcap": 0.0}, {"z_loss": np.inf}, {"z_loss": np.nan}, {"check": "always"},
        {"inplace": True}, {"ignore_index": 2**63}, {"z_loss": True}, {"z_loss": "1"},
    ):  # fmt: skip
        assert plain.loss(x, y, None, given_) is None, given_
    big = x.astype(">f4")
    for other in (x[:, ::2], np.asfortranarray(x), x[0], big, x.astype(np.int64), x[:, :1].copy(), x[:0]):
        assert plain.loss(other, y[: len(other)], None, {}) is None
    for other in (y.astype(np.int32), y[::2], y[:, None], y.astype(">i8")):
        assert plain.loss(x, other, None, {}) is None
    for other in (weight.astype(np.float64), weight[:2], weight[::-1], -weight, weight * np.nan, list(weight)):
        assert plain.loss(x, y, other, {}) is None


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_what_is_wrong_is_told_by_the_general_way(library) -> None:
    x, y, weight = arrays(library, "float32")
    wrong = 1 * y
    wrong[3] = 7
    with pytest.raises(ClassIndexError, match="holds 7 at position 3"):
        crossent.cross_entropy(x, wrong, weight)
    with pytest.warns(MisuseWarning, match="negative class weight"):
        crossent.cross_entropy(x, y, -weight)
    with pytest.raises(OptionError, match=r"z_loss=-1\.0, expected 0 or a positive number"):
        crossent.cross_entropy(x, y, weight, z_loss=-1.0)
    with pytest.raises(UnknownOptionError, match="did you mean temperature"):
        crossent.cross_entropy(x, y, weight, temperatur=2.0)
    assert np.isnan(numbers(crossent.cross_entropy(x, y, 0 * weight)))
    assert np.isnan(numbers(crossent.cross_entropy(x, 0 * y + 2, weight, ignore_index=2, z_loss=1.0)))
    assert numbers(crossent.cross_entropy(x, 0 * y + 2, weight, ignore_index=2, reduction="sum", z_loss=1.0)) == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("options", [{}, {"z_loss": 0.3, "softcap": 4.0}, {"label_smoothing": 0.2}], ids=str)
def test_any_cotangent(dtype, reduction, options) -> None:
    x, y, weight = arrays("torch", dtype)
    wide = x.double().requires_grad_()
    loss = crossent.cross_entropy(x.requires_grad_(), y, weight, reduction=reduction, **options)
    exact = crossent.cross_entropy(wide, y, weight.double(), axis=1, reduction=reduction, **options)
    for g in (torch.randn(exact.shape, dtype=torch.float64), torch.zeros(exact.shape, dtype=torch.float64)):
        (found,) = torch.autograd.grad(loss, x, g.to(x.dtype), retain_graph=True)
        (slope,) = torch.autograd.grad(exact, wide, g.to(x.dtype).double(), retain_graph=True)
        torch.testing.assert_close(found.double(), slope, rtol=4 * DTYPES[dtype], atol=DTYPES[dtype])
    if reduction == "none":
        expanded = torch.autograd.grad(loss.sum(), x)[0]  # a cotangent of one number, seen many times
        torch.testing.assert_close(
            expanded.double(), torch.autograd.grad(exact.sum(), wide)[0], rtol=4 * DTYPES[dtype], atol=DTYPES[dtype]
        )


def test_a_changed_weight_is_seen_before_a_second_derivative() -> None:
    x, y, weight = arrays("torch", "float64")
    loss = crossent.cross_entropy(x.requires_grad_(), y, weight, z_loss=0.1)
    weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified it"):
        torch.autograd.grad(loss, x, create_graph=True)


@pytest.mark.parametrize("options", [{"z_loss": 0.1}, {"softcap": 2.0, "temperature": 3.0}], ids=str)
def test_second_derivatives(options) -> None:
    x, y, weight = arrays("torch", "float64", rows=3)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: crossent.cross_entropy(z, y, weight, **options), x)
    assert torch.autograd.gradgradcheck(lambda z: crossent.cross_entropy(z, y, weight, **options), x)
