"""softmax, log_softmax and logsumexp as torch's and SciPy's callers write them, on every backend."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

import crossent
from crossent.errors import AxisError, OptionError, ShapeError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(2, 3, 4)) * 3
AXES = [None, 0, -1, (2, 0), (-1, -3), (), [1, 2]]
FUNCTIONS = ["softmax", "log_softmax", "logsumexp"]


def wanted(function: str, x: Any, axis: Any, **options: Any) -> Any:
    """SciPy's answer."""
    with np.errstate(all="ignore"):
        return getattr(scipy.special, function)(x, axis=tuple(axis) if isinstance(axis, list) else axis, **options)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("name", ["axis", "dim"])
def test_axes(backend: Any, function: str, axis: Any, name: str) -> None:
    value = getattr(crossent, function)(backend.array(X, "float32"), **{name: axis})
    expected = wanted(function, X.astype(np.float32).astype(float), axis)
    assert backend.dtype_of(value) == "float32"
    np.testing.assert_allclose(backend.numpy(value), expected, rtol=2e-6, atol=2e-7)
    assert tuple(value.shape) == np.shape(expected)


@pytest.mark.parametrize("keep", [{"keepdims": True}, {"keepdim": True}, {"keepdim": False}, {"keepdims": False}])
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_kept_axes(backend: Any, axis: Any, keep: dict) -> None:
    value = crossent.logsumexp(backend.array(X, "float64"), axis, **keep)
    expected = wanted("logsumexp", X, axis, keepdims=next(iter(keep.values())))
    assert tuple(value.shape) == np.shape(expected)
    np.testing.assert_allclose(backend.numpy(value), expected, rtol=1e-13)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [(0, 2), None, 1], ids=str)
def test_masks_over_several_axes(backend: Any, function: str, axis: Any) -> None:
    mask = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 0, 0]], bool)
    options = {"temperature": 2.0} if function != "logsumexp" else {}
    value = getattr(crossent, function)(backend.array(X, "float64"), axis, where=backend.array(mask), **options)
    x = np.where(mask, X, -np.inf) / options.get("temperature", 1.0)
    np.testing.assert_allclose(backend.numpy(value), wanted(function, x, axis), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("number", [3.0, -0.5, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("axis", [-1, 0, None, ()], ids=str)
def test_a_single_number(backend: Any, number: float, axis: Any) -> None:
    x = backend.array(number, "float64")
    alone = 1.0 if np.isfinite(number) else np.nan
    for function, value in (("softmax", alone), ("log_softmax", alone * 0.0), ("logsumexp", number)):
        result = getattr(crossent, function)(x, axis)
        assert tuple(result.shape) == ()
        np.testing.assert_array_equal(backend.numpy(result), value)
    assert tuple(crossent.logsumexp(x, axis, keepdims=True).shape) == ()
    with pytest.raises(AxisError, match="axis=1, but input float64 \\(\\) has 0 axes"):
        crossent.softmax(x, 1)


def test_numbers_and_lists_without_a_library() -> None:
    assert crossent.softmax(3.0) == 1.0
    assert crossent.logsumexp(3) == 3.0
    assert crossent.softmax([]).shape == (0,)
    assert crossent.logsumexp([]) == -np.inf


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 0), (0, 5), (2, 0, 4)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_in_it(backend: Any, shape: tuple, dtype: str) -> None:
    x = backend.array(np.zeros(shape), dtype)
    for axis in (*range(-len(shape), len(shape)), None, tuple(range(len(shape)))):
        for function in ("softmax", "log_softmax"):
            value = getattr(crossent, function)(x, axis)
            assert tuple(value.shape) == shape
            assert value is not x or backend.name in ("jax", "mlx")  # whose arrays do not change
            assert backend.dtype_of(value) == dtype
        total = crossent.logsumexp(x, axis)
        assert tuple(total.shape) == np.zeros(shape).sum(axis).shape
        assert (backend.numpy(total) == -np.inf).all()
        value, sign = crossent.logsumexp(x, axis, b=x, return_sign=True)
        assert (backend.numpy(value) == -np.inf).all()
        assert (backend.numpy(sign) == 0).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_two_names_of_one_option(function: str) -> None:
    call = getattr(crossent, function)
    for axis, dim in itertools.product((-1, 0, None), repeat=2):
        with pytest.raises(OptionError, match=rf"^{function}: axis={axis} and dim={dim} are two names of one option"):
            call(X, axis=axis, dim=dim)
    if function == "logsumexp":
        with pytest.raises(OptionError, match="keepdims=False and keepdim=True are two names"):
            call(X, keepdims=False, keepdim=True)
    assert inspect.signature(call).parameters["axis"].default == -1


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "axis", [(0, 0), (0, -3), 3, (0, 3), "0", 1.0, True, (0, None), [], [[0]], np.ones(2, int)], ids=repr
)
def test_axes_that_are_none(function: str, axis: Any) -> None:
    with pytest.raises(AxisError, match=rf"^{function}: axis=.* input float64 \(2, 3, 4\)"):
        getattr(crossent, function)(X, axis)


@pytest.mark.parametrize("axis", [None, (0, 2), 1, ()], ids=str)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_derivatives_over_several_axes(differentiating: Any, function: str, axis: Any) -> None:
    cotangent = GENERATOR.normal(size=np.shape(wanted(function, X, axis)))
    _, slope = differentiating.gradient(
        lambda x: getattr(crossent, function)(x, axis), differentiating.array(X, "float64"), cotangent
    )
    x = torch.from_numpy(X.copy()).requires_grad_()
    axes = tuple(range(3)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    total = torch.logsumexp(x, axes, keepdim=True) if axes else x
    value = {"softmax": (x - total).exp(), "log_softmax": x - total, "logsumexp": total}[function]
    value = value.reshape(cotangent.shape)
    value.backward(torch.from_numpy(cotangent))
    np.testing.assert_allclose(differentiating.numpy(slope), x.grad, rtol=1e-10, atol=1e-13)


# --- SciPy's weighted sums


WEIGHTS = [1.0, -2.0, 0.0, [1, 0, -1, 2], GENERATOR.normal(size=(3, 4)), GENERATOR.normal(size=(5, 1, 3, 1))]


@pytest.mark.parametrize("b", WEIGHTS, ids=lambda b: str(np.shape(b)) if np.ndim(b) else str(b))
@pytest.mark.parametrize(("axis", "keepdims"), [(-1, False), (None, True), ((0, 1), False)], ids=str)
def test_weighted_sums(backend: Any, b: Any, axis: Any, keepdims: bool) -> None:
    x, given = backend.array(X, "float64"), b if np.ndim(b) < 2 else backend.array(b, "float64")
    value, sign = crossent.logsumexp(x, axis, b=given, return_sign=True, keepdims=keepdims)
    expected, expected_sign = scipy.special.logsumexp(X, axis, b=b, return_sign=True, keepdims=keepdims)
    np.testing.assert_allclose(backend.numpy(value), expected, rtol=1e-11)
    np.testing.assert_array_equal(backend.numpy(sign), expected_sign)
    assert tuple(value.shape) == np.shape(expected)
    plain = backend.numpy(crossent.logsumexp(x, axis, b=given, keepdims=keepdims))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(plain, scipy.special.logsumexp(X, axis, b=b, keepdims=keepdims), rtol=1e-11)


SPECIAL = [-np.inf, -1000.0, -1.0, 0.0, 700.0, np.inf, np.nan]


@pytest.mark.parametrize("b", list(itertools.product([1.0, -1.0, 0.0, 0.5], repeat=2)), ids=str)
def test_weighted_limits(backend: Any, b: tuple) -> None:
    pairs = np.array(list(itertools.product(SPECIAL, repeat=2)))
    value, sign = crossent.logsumexp(backend.array(pairs, "float64"), b=list(b), return_sign=True)
    with np.errstate(all="ignore"):
        counted = np.where(np.array(b) == 0, -np.inf, pairs)  # SciPy's own answer for 0·NaN depends on its neighbours
        expected, expected_sign = scipy.special.logsumexp(counted, -1, b=b, return_sign=True)
    np.testing.assert_allclose(backend.numpy(value), expected, rtol=1e-14)
    np.testing.assert_array_equal(backend.numpy(sign), expected_sign)


@pytest.mark.parametrize("axis", [-1, None, (1, 2)], ids=str)
def test_signs_without_weights(backend: Any, axis: Any) -> None:
    value, sign = crossent.logsumexp(backend.array(X, "float32"), axis, return_sign=True)
    assert (backend.numpy(sign) == 1).all()
    assert tuple(sign.shape) == tuple(value.shape)
    assert backend.dtype_of(sign) == "float32"


def test_a_small_rest_is_kept(backend: Any) -> None:
    value = crossent.logsumexp(backend.array([0.0, -60.0], "float64"), b=[1.0, -1.0])
    np.testing.assert_allclose(backend.numpy(value), -np.exp(-60.0), rtol=1e-14)
    value = crossent.logsumexp(backend.array([1e6, 1e6], "float64"), b=[2.0, 1.0])
    np.testing.assert_allclose(backend.numpy(value), 1e6 + np.log(3.0), rtol=1e-16)
    value = crossent.logsumexp(backend.array([0.0, 500.0], "float64"), b=[1e200, 1e-200])
    np.testing.assert_allclose(backend.numpy(value), np.log(1e200), rtol=1e-15)


def test_what_is_left_out_has_no_say(backend: Any) -> None:
    x = backend.array([[1.0, np.nan, 2.0], [1.0, np.inf, 2.0]], "float64")
    keep = np.array([True, False, True])
    expected = np.log(np.exp(2.0) - np.exp(1.0))
    for options in ({"b": [-1.0, 5.0, 1.0], "where": backend.array(keep)}, {"b": [-1.0, 0.0, 1.0]}):
        np.testing.assert_allclose(backend.numpy(crossent.logsumexp(x, **options)), expected, rtol=1e-14)


@pytest.mark.parametrize("of", ["x", "b"])
def test_weighted_derivatives(differentiating: Any, of: str) -> None:
    b = np.array([[1.5, -0.5, 0.0, 2.0], [-1.0, 0.0, 3.0, 1.0]])
    x = GENERATOR.normal(size=(2, 4))
    total = np.sum(b * np.exp(x), -1, keepdims=True)
    expected = (b if of == "x" else 1) * np.exp(x) / total * np.array([[2.0], [-3.0]])

    def value(part: Any) -> Any:
        whole = {"x": differentiating.array(x, "float64"), "b": differentiating.array(b, "float64"), of: part}
        return crossent.logsumexp(whole["x"], b=whole["b"], return_sign=True)[0]

    at = differentiating.array(x if of == "x" else b, "float64")
    _, slope = differentiating.gradient(value, at, np.array([2.0, -3.0]))
    np.testing.assert_allclose(differentiating.numpy(slope), expected, rtol=1e-13)


def test_weighted_derivatives_of_every_order() -> None:
    b = torch.tensor([[1.5, -0.5, 0.0, 2.0], [-1.0, 0.2, 3.0, 1.0]], dtype=torch.float64).requires_grad_()
    x = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def value(x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return crossent.logsumexp(x, b=b, return_sign=True)[0]

    assert gradcheck(value, (x, b), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(value, (x, b))
    per_row = torch.func.vmap(torch.func.grad(value))(x.detach(), b.detach())
    torch.testing.assert_close(per_row, torch.autograd.grad(value(x, b).sum(), x)[0])


def test_a_steep_weight_does_not_overflow_the_derivative() -> None:
    x = torch.tensor([170.0, 0.0]).requires_grad_()
    b = torch.tensor([1e-44, 1e30])
    (slope,) = torch.autograd.grad(crossent.logsumexp(x, b=b), x)
    exact = torch.softmax(x.detach().double() + b.double().log(), 0)
    torch.testing.assert_close(slope.double(), exact, rtol=1e-5, atol=0)


def test_weighted_sums_compile() -> None:
    x, b = torch.randn(3, 4), torch.randn(3, 4)
    compiled = torch.compile(
        lambda x: crossent.logsumexp(x, b=b, dim=(0, 1), return_sign=True), backend="eager", fullgraph=True
    )
    torch.testing.assert_close(compiled(x), crossent.logsumexp(x, b=b, axis=None, return_sign=True))


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"^logsumexp: b has shape \(5,\), which does not broadcast together with x"):
        crossent.logsumexp(X, b=np.ones(5))
    with pytest.raises(OptionError, match="return_sign=1, expected True or False"):
        crossent.logsumexp(X, return_sign=1)


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-3, 3)), min_size=1, max_size=6))
def test_weighted_sums_are_scipys(pairs: list) -> None:
    x, b = np.array(pairs).T
    value, sign = crossent.logsumexp(x, b=b, return_sign=True)
    terms = b * np.exp(x - x.max())
    close = abs(terms.sum()) > 1e-6 * abs(terms).sum()
    expected, expected_sign = wanted("logsumexp", x, None, b=b, return_sign=True)
    if close:
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-9)
        assert sign == expected_sign
