"""Failures that softmax and cross-entropy have had in the wild, one test each, in every room that has the feature.

The numbers in the names are those of a list of such failures; it has gaps where another test file covers the subject.
"""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import torch
import torch.nn.functional as F

import crossent
from crossent.errors import (
    ClassIndexError,
    DtypeError,
    EmptyReductionError,
    MisuseWarning,
    ProbabilityError,
    ShapeError,
)


def loss_and_gradients(backend, x, target, **options):
    """(loss, derivatives by each way the library has), the loss the same in all of them."""
    value = crossent.cross_entropy(x, target, **options)
    loss, gradient = crossent.cross_entropy_with_grad(x, target, **options)
    np.testing.assert_array_equal(backend.numpy(value), backend.numpy(loss))
    gradients = [backend.numpy(gradient)]
    if backend.differentiates:
        _, gradient = backend.gradient(
            lambda z: crossent.cross_entropy(z, target, **options), x, np.ones(tuple(value.shape))
        )
        gradients.append(backend.numpy(gradient))
    return backend.numpy(value), gradients


# --- numbers ---


@pytest.mark.parametrize(("gap", "offset", "dtype"), [
    (3.0, 1e4, "float32"), (3.0, 1e6, "float32"), (8.0, 1e8, "float32"),
    (3.0, 1e6, "float64"), (3.0, 1e12, "float64"), (8.0, 256.0, "bfloat16"),
])  # fmt: skip
def test_01_shift_invariance(backend, gap, offset, dtype):
    """lse − z_y subtracts two numbers of the offset's size: at 1e6 float32 keeps sixteenths, at 1e8 nothing."""
    if dtype not in backend.dtypes:
        return
    target = backend.array(np.array([0, 1]))
    row = np.array([[gap, 0.0], [gap, 0.0]])
    options = {"reduction": "none"}
    value, gradients = loss_and_gradients(backend, backend.array(row, dtype), target, **options)
    shifted, shifted_gradients = loss_and_gradients(backend, backend.array(row + offset, dtype), target, **options)
    np.testing.assert_array_equal(shifted, value)
    np.testing.assert_array_equal(shifted_gradients, gradients)
    assert value[0] == pytest.approx(np.log1p(np.exp(-gap)), rel=4e-3 if dtype == "bfloat16" else 1e-6)
    if gap == 3:
        assert value[0] == pytest.approx(0.0486, abs=5e-5)
    for function in (crossent.softmax, crossent.log_softmax):
        plain, moved = (backend.numpy(function(backend.array(row + by, dtype))) for by in (0.0, offset))
        np.testing.assert_array_equal(moved, plain)


def test_02_a_leading_block_of_minus_infinity(backend):
    """An online softmax that has met nothing but −∞ rescales by exp(−∞ − −∞) and is NaN ever after."""
    x = np.full((1, 5000), -np.inf)
    x[0, 4096:] = np.linspace(-2, 2, 904)
    for dtype in backend.dtypes:
        array = backend.array(x, dtype)
        exact = backend.numpy(array)
        reference = oracle.cross_entropy(exact, np.array([4999]))
        value, gradients = loss_and_gradients(backend, array, backend.array(np.array([4999])))
        oracle.assert_close(value, reference.value, reference.value_scale, dtype)
        for gradient in gradients:
            oracle.assert_close(gradient, reference.gradient, reference.gradient_scale, dtype)
            assert not gradient[0, :4096].any()
        lse = oracle.logsumexp(exact)
        oracle.assert_close(backend.numpy(crossent.logsumexp(array)), lse.value, lse.value_scale, dtype)


def test_03_masked_classes(backend):
    """0·(−∞) is NaN wherever zeros are multiplied instead of selected: in soft targets, smoothing, class weights."""
    inf = np.inf
    x = backend.array(np.array([[1.0, 2.0, -inf], [0.5, 0.25, 1.0], [-inf, -inf, -inf]]), "float32")
    index, one_hot = backend.array(np.array([0, 1, 0])), backend.array(np.eye(3)[[0, 1, 0]], "float32")
    finite = np.log1p(np.exp(1.0))
    for target in (index, one_hot):
        value, gradients = loss_and_gradients(backend, x, target, reduction="none")
        assert value[0] == pytest.approx(finite, rel=1e-6)
        assert np.isfinite(value[1])
        assert np.isnan(value[2])
        for gradient in gradients:
            assert np.isfinite(gradient[:2]).all()
            assert gradient[0, 2] == 0
            assert np.isnan(gradient[2]).all()
    smoothed = backend.numpy(crossent.cross_entropy(x, index, reduction="none", label_smoothing=0.1))
    assert smoothed[0] == inf  # torch's answer: the smoothed target has mass on the masked class
    where = backend.array(np.array([[True, True, False], [True, True, True], [True, True, True]]))
    value, gradients = loss_and_gradients(backend, x, index, reduction="none", label_smoothing=0.1, where=where)
    reference = oracle.cross_entropy(np.array([[1.0, 2.0]]), np.array([0]), label_smoothing=0.1)
    assert value[0] == pytest.approx(float(reference.value), rel=1e-6)
    for gradient in gradients:
        np.testing.assert_allclose(gradient[0], [*reference.gradient[0].astype(float), 0.0], rtol=2e-6)
    weight = backend.array(np.array([1.0, 1.0, 0.0]), "float32")
    value = backend.numpy(crossent.cross_entropy(x, index, weight, label_smoothing=0.1, reduction="none"))
    reference = oracle.cross_entropy(
        np.array([[1.0, 2.0, -inf]]), np.array([0]), [1.0, 1.0, 0.0], label_smoothing=0.1, reduction="none"
    )
    assert value[0] == pytest.approx(float(reference.value[0]), rel=1e-6)


def test_04_infinity_and_nan_stay_in_their_row(backend):
    """A shared maximum, sum or multiplied mask carries one row's NaN into the others."""
    rows = np.array([[1.0, 2.0, 3.0], [np.inf, 0.0, 1.0], [0.0, np.nan, 1.0], [3.0, 2.0, 0.0]])
    for dtype in backend.dtypes:
        x, sound = backend.array(rows, dtype), backend.array(rows[[0, 3]], dtype)
        target = backend.array(np.array([0, 1, 2, 1]))
        value, gradients = loss_and_gradients(backend, x, target, reduction="none")
        clean, clean_gradients = loss_and_gradients(backend, sound, backend.array(np.array([0, 1])), reduction="none")
        assert np.isnan(value[[1, 2]]).all()
        np.testing.assert_array_equal(value[[0, 3]], clean)
        for gradient, expected in zip(gradients, clean_gradients, strict=True):
            assert np.isnan(gradient[[1, 2]]).all()
            np.testing.assert_array_equal(gradient[[0, 3]], expected)
        lse = backend.numpy(crossent.logsumexp(x))
        assert lse[1] == np.inf
        assert np.isnan(lse[2])
        for function in (crossent.softmax, crossent.log_softmax):
            p = backend.numpy(function(x))
            assert np.isnan(p[[1, 2]]).all()
            np.testing.assert_array_equal(p[[0, 3]], backend.numpy(function(sound)))


@pytest.mark.parametrize(("dtype", "relative"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_05_sums_of_sixteen_bit_numbers(backend, dtype, relative):
    """Summed in their own dtype, 65520 ones are infinite in float16 and 100000 rows lose their tail in bfloat16."""
    if dtype not in backend.dtypes:
        return
    for classes in (65_520, 70_000):
        x = backend.array(np.zeros((1, classes)), dtype)
        expected = pytest.approx(math.log(classes), rel=relative)
        assert backend.numpy(crossent.logsumexp(x))[0] == expected
        assert backend.numpy(crossent.cross_entropy(x, backend.array(np.array([7])))) == expected
        np.testing.assert_allclose(backend.numpy(crossent.log_softmax(x)), -math.log(classes), rtol=relative)
        np.testing.assert_allclose(backend.numpy(crossent.softmax(x)), 1 / classes, rtol=2.0**-7)
    x, target = backend.array(np.zeros((20_000, 64)), dtype), backend.array(np.zeros(20_000, int))
    assert backend.numpy(crossent.cross_entropy(x, target)) == pytest.approx(math.log(64), rel=relative)
    x = backend.array(np.zeros((2, 50_000)), dtype)
    smoothed = crossent.cross_entropy(x, backend.array(np.array([0, 1])), label_smoothing=0.1)
    assert backend.numpy(smoothed) == pytest.approx(math.log(50_000), rel=relative)
    x, target = backend.array(np.zeros((100_000, 3)), dtype), backend.array(np.zeros(100_000, int))
    assert backend.numpy(crossent.cross_entropy(x, target)) == pytest.approx(1.0986, rel=relative)


@pytest.mark.parametrize(("row", "dtype", "expected"), [
    ([9.5, 1.0, 0.5, 2.0], "bfloat16", -0.00088), ([9.5, 1.0, 0.5, 2.0], "float16", -0.00088),
    ([17.0, 0.0], "float32", -4.1e-8), ([40.0, 0.0], "float64", -4.2e-18), ([90.0, 0.0], "float32", -8.2e-40),
])  # fmt: skip
def test_06_the_derivative_at_a_confident_class(backend, row, dtype, expected):
    """p − 1 of a rounded p is 0 once p rounds to 1: the class that is nearly learned gets no gradient at all."""
    if dtype not in backend.dtypes or (backend.name in ("jax", "mlx") and abs(expected) < 1e-38):  # subnormals are 0
        return
    x = backend.array(np.array([row]), dtype)
    for target in (np.array([0]), np.eye(len(row), dtype=int)[[0]]):
        reference = oracle.cross_entropy(backend.numpy(x), target)
        value, gradients = loss_and_gradients(backend, x, backend.array(target))
        assert float(reference.gradient[0, 0]) == pytest.approx(expected, rel=0.02)
        for result, exact in [(value, reference.value), *((g, reference.gradient) for g in gradients)]:
            bound = oracle.ulp(exact, dtype) + 2.0**-17 * np.abs(exact) * (dtype == "float32")
            bound = bound + 2.0**-46 * np.abs(exact) * (dtype == "float64")
            assert (np.abs(result - exact) <= bound).all()


def test_06_through_log_softmax(differentiating):
    """g − p·Σg cancels in the same way, for whoever writes the loss as −log_softmax at the class."""
    backend = differentiating
    x = backend.array(np.array([17.0, 0.0]), "float32")
    _, gradient = backend.gradient(crossent.log_softmax, x, np.array([1.0, 0.0]))
    np.testing.assert_allclose(backend.numpy(gradient), [4.1399375e-8, -4.1399375e-8], rtol=1e-6)


def test_09_a_confident_binary_class(differentiating):
    """σ(x) − 1 rounds to 0 where σ(−x) is 4e-8."""
    backend = differentiating
    x, y = backend.array(np.array([17.0, -17.0]), "float32"), backend.array(np.array([1.0, 0.0]), "float32")
    function = crossent.binary_cross_entropy_with_logits
    value, gradient = backend.gradient(lambda z: function(z, y, reduction="none"), x, np.ones(2))
    np.testing.assert_allclose(backend.numpy(value), 4.1399375e-8, rtol=1e-6)
    np.testing.assert_allclose(backend.numpy(gradient), [-4.1399375e-8, 4.1399375e-8], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_09_a_saturated_sigmoid(backend, dtype):
    """sigmoid first, logarithm after: logit 20 with label 0 costs 100, without gradient; here limits are exact."""
    function = crossent.binary_cross_entropy_with_logits
    x, y = backend.array(np.array([20.0, -200.0]), dtype), backend.array(np.array([0.0, 1.0]), dtype)
    exact = np.array([20.0000000021, 200.0])
    np.testing.assert_allclose(
        backend.numpy(function(x, y, reduction="none")), exact, rtol=1e-7 if dtype == "float32" else 1e-11
    )
    inf = np.inf
    x = backend.array(np.array([inf, inf, -inf, -inf, inf]), dtype)
    y = backend.array(np.array([1.0, 0.0, 0.0, 1.0, 0.25]), dtype)
    np.testing.assert_array_equal(backend.numpy(function(x, y, reduction="none")), [0, inf, 0, inf, inf])
    if backend.differentiates:
        _, gradient = backend.gradient(lambda z: function(z, y, reduction="none"), x, np.ones(5))
        np.testing.assert_array_equal(backend.numpy(gradient), [0, 1, 0, -1, 0.75])
        far = backend.array(np.array([-200.0, 20.0]), dtype)
        _, gradient = backend.gradient(lambda z: function(z, y[:2], reduction="none"), far, np.ones(2))
        np.testing.assert_allclose(backend.numpy(gradient), [-1.0, 1.0], rtol=1e-6)


# --- semantics ---


def test_10_what_the_mean_divides_by(backend):
    """Σ weight[y] over the rows that count for indices, the number of rows for probabilities; smoothing has torch's."""
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(6, 4)), np.array([0, 3, -100, 1, 1, 2])
    weight = np.array([0.5, 2.0, 1.0, 0.25])
    z, y, w = backend.array(x, "float64"), backend.array(target), backend.array(weight, "float64")
    rows = backend.numpy(crossent.cross_entropy(z, y, w, reduction="none"))
    mean = backend.numpy(crossent.cross_entropy(z, y, w))
    assert mean == pytest.approx(rows.sum() / weight[target[target >= 0]].sum(), rel=1e-14)
    one_hot = np.eye(4)[np.maximum(target, 0)]
    rows = backend.numpy(crossent.cross_entropy(z, backend.array(one_hot, "float64"), w, reduction="none"))
    mean = backend.numpy(crossent.cross_entropy(z, backend.array(one_hot, "float64"), w))
    assert mean == pytest.approx(rows.sum() / 6, rel=1e-14)
    for smoothing in (0.1, 1.0):
        ours = crossent.cross_entropy(z, y, w, label_smoothing=smoothing)
        theirs = F.cross_entropy(torch.tensor(x), torch.tensor(target), torch.tensor(weight), label_smoothing=smoothing)
        assert backend.numpy(ours) == pytest.approx(float(theirs), rel=1e-13)


@pytest.mark.parametrize("why", ["ignored", "weights", "sample weights", "no rows"])
def test_11_a_mean_over_nothing(backend, why):
    """0/0 in the loss is an honest NaN; in the gradient it would poison every parameter, so that is zero."""
    rows = 0 if why == "no rows" else 2
    x = backend.array(np.ones((rows, 3)) * np.arange(3), "float32")
    target = backend.array(np.full(rows, -100 if why == "ignored" else 1))
    options = {}
    if why == "weights":
        options["weight"] = backend.array(np.array([1.0, 0.0, 1.0]), "float32")
    if why == "sample weights":
        options["sample_weight"] = backend.array(np.zeros(2), "float32")
    for on_empty, expected in (("nan", math.nan), ("zero", 0.0)):
        value, gradients = loss_and_gradients(backend, x, target, on_empty=on_empty, **options)
        np.testing.assert_array_equal(value, expected)
        for gradient in gradients:
            assert gradient.shape == (rows, 3)
            assert not gradient.any()
    with pytest.raises(EmptyReductionError, match="the mean is over nothing"):
        crossent.cross_entropy(x, target, on_empty="raise", **options)
    assert backend.numpy(crossent.cross_entropy(x, target, reduction="sum", **options)) == 0
    if why in ("ignored", "no rows"):
        log_p = crossent.log_softmax(x)
        assert np.isnan(backend.numpy(crossent.nll_loss(log_p, target)))
        assert backend.numpy(crossent.nll_loss(log_p, target, on_empty="zero")) == 0


@pytest.mark.parametrize("options", [
    {}, {"label_smoothing": 0.1}, {"z_loss": 0.1}, {"softcap": 4.0}, {"temperature": 2.0}, {"reduction": "sum"},
    {"reduction": "none"}, {"softcap": 4.0, "z_loss": 0.1, "label_smoothing": 0.1},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("bad", [math.nan, -math.inf, math.inf])
def test_12_whatever_an_ignored_row_holds(backend, options, bad):
    """A gradient multiplied by a mask of zeros is NaN where the logits are: 0·NaN. It has to be selected."""
    x = np.array([[1.0, 2.0, 0.5], [bad, bad, bad], [bad, 1.0, 0.0], [0.0, 1.0, -1.0]])
    target = np.array([2, -100, -100, 0])
    expected = oracle.cross_entropy(x, target, **options)
    value, gradients = loss_and_gradients(backend, backend.array(x, "float32"), backend.array(target), **options)
    np.testing.assert_allclose(value, expected.value.astype(float), rtol=1e-6)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient[1:3], 0)
        np.testing.assert_allclose(gradient, expected.gradient.astype(float), rtol=1e-5)
    weight = backend.array(np.array([1.0, 0.0, 0.0, 1.0]), "float32")
    labels = backend.array(np.array([2, 0, 0, 0]))
    value, gradients = loss_and_gradients(backend, backend.array(x, "float32"), labels, sample_weight=weight, **options)
    np.testing.assert_allclose(value, expected.value.astype(float), rtol=1e-6)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient[1:3], 0)


@pytest.mark.parametrize(
    "options", [{}, {"softcap": 4.0}, {"softcap": 4.0, "label_smoothing": 0.1, "z_loss": 0.1}], ids=str
)
def test_12_whatever_a_masked_class_holds(backend, options):
    """The same for a class that does not exist: its logit is uninitialised memory, and its gradient zero."""
    x = np.array([[1.0, 2.0, math.nan], [0.0, 1.0, math.inf]])
    expected = oracle.cross_entropy(x[:, :2], np.array([0, 1]), **options)
    where = backend.array(np.array([True, True, False]))
    value, gradients = loss_and_gradients(
        backend, backend.array(x, "float32"), backend.array(np.array([0, 1])), where=where, **options
    )
    assert value == pytest.approx(float(expected.value), rel=1e-6)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient[:, 2], 0)
        np.testing.assert_allclose(gradient[:, :2], expected.gradient.astype(float), rtol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_13_a_cotangent_of_its_own_for_each_row(differentiating, reduction):
    """A kernel that takes the first row's cotangent for every row passes each test that sums the losses."""
    backend = differentiating
    rng = np.random.default_rng(1)
    x, target = rng.normal(size=(5, 4)), np.array([0, 3, -100, 1, 2])
    cotangent = rng.normal(size=5) if reduction == "none" else rng.normal()
    expected = oracle.cross_entropy(x, target, reduction=reduction, cotangent=cotangent)
    _, gradient = backend.gradient(
        lambda z: crossent.cross_entropy(z, backend.array(target), reduction=reduction),
        backend.array(x, "float64"),
        cotangent,
    )
    np.testing.assert_allclose(backend.numpy(gradient), expected.gradient.astype(float), rtol=1e-12)
    if backend.name == "torch" and reduction == "none":
        leaf = torch.tensor(x, requires_grad=True)
        loss = crossent.cross_entropy(leaf, torch.tensor(target), reduction="none")
        column = torch.tensor(np.stack([cotangent, cotangent], 1))[:, 0]
        for view in (column, torch.tensor(1.5).double().expand(5), torch.tensor(cotangent).flip(0).flip(0)):
            (gradient,) = torch.autograd.grad(loss, leaf, view, retain_graph=True)
            expected = oracle.cross_entropy(x, target, reduction="none", cotangent=view.numpy())
            np.testing.assert_allclose(gradient.numpy(), expected.gradient.astype(float), rtol=1e-12)


def test_14_two_backward_passes(differentiating):
    """A gradient kept in the buffer that the backward pass scales in place is scaled twice by the second pass."""
    if differentiating.name.startswith("torch"):
        x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
        loss = crossent.cross_entropy(x, torch.tensor([0, 1, 2, 3]), label_smoothing=0.1)
        first, second = (
            torch.autograd.grad(loss, x, torch.tensor(3.0).double(), retain_graph=True)[0] for _ in range(2)
        )
        np.testing.assert_array_equal(first.numpy(), second.numpy())
        return
    if differentiating.name == "mlx":
        pytest.skip("mlx.core.vjp gives one derivative a call")
    import jax

    x = differentiating.array(np.arange(12.0).reshape(3, 4), "float64")
    value, pull = jax.vjp(lambda z: crossent.cross_entropy(z, np.array([0, 1, 2])), x)
    np.testing.assert_array_equal(pull(value * 0 + 3)[0], pull(value * 0 + 3)[0])


def test_15_the_input_is_not_modified(backend):
    """Kernels that write the gradient over the logits to save memory break whoever reads the logits afterwards."""
    rng = np.random.default_rng(2)
    values = {
        "x": rng.normal(size=(4, 3)),
        "q": np.eye(3)[[0, 1, 2, 0]],
        "weight": np.array([1.0, 2.0, 3.0]),
        "sample": np.array([1.0, 0.0, 2.0, 1.0]),
    }
    arrays = {name: backend.array(value.copy(), "float64") for name, value in values.items()}
    target = backend.array(np.array([0, -100, 2, 1]))
    options = {"sample_weight": arrays["sample"], "z_loss": 0.1, "softcap": 5.0, "label_smoothing": 0.1}
    for labels in (target, arrays["q"]):
        loss_and_gradients(backend, arrays["x"], labels, weight=arrays["weight"], **options)
        crossent.row_stats(arrays["x"], labels, arrays["weight"], **options)
    crossent.softmax(arrays["x"])
    crossent.predict(arrays["x"])
    crossent.binary_cross_entropy_with_logits(arrays["x"], arrays["q"], arrays["q"], pos_weight=arrays["weight"])
    crossent.binary_cross_entropy(arrays["q"], arrays["q"], arrays["q"])
    for name, value in values.items():
        np.testing.assert_array_equal(backend.numpy(arrays[name]), value)
    np.testing.assert_array_equal(backend.numpy(target), [0, -100, 2, 1])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("axis", [1, -1])
def test_15_in_place_writes_and_says_so(reduction, axis):
    """Overwritten logits that autograd does not know of give a stale saved tensor, silently; the counter tells it."""
    hidden = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 4, (3, 5)) if axis == 1 else torch.randint(0, 5, (3, 4))
    cotangent = torch.randn(target.shape, dtype=torch.float64) if reduction == "none" else torch.tensor(2.0).double()
    (expected,) = torch.autograd.grad(
        crossent.cross_entropy(hidden * 2, target, reduction=reduction, axis=axis), hidden, cotangent
    )
    logits = hidden * 2
    version = logits._version
    loss = crossent.cross_entropy(logits, target, reduction=reduction, axis=axis, inplace=True)
    assert logits._version > version
    _, gradient = crossent.cross_entropy_with_grad((hidden * 2).detach(), target, reduction=reduction, axis=axis)
    np.testing.assert_array_equal(logits.detach().numpy(), gradient.numpy())
    loss.backward(cotangent)
    np.testing.assert_allclose(hidden.grad.numpy(), expected.numpy(), rtol=1e-12, atol=1e-15)


def test_15_a_stale_saved_tensor_raises():
    x = torch.randn(3, 4, requires_grad=True)
    logits = x.tanh()  # saves its output, which is then overwritten
    loss = crossent.cross_entropy(logits, torch.tensor([0, 1, 2]), inplace=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    with torch.no_grad():
        plain = torch.randn(3, 4)
        before = plain.clone()
        crossent.cross_entropy(plain, torch.tensor([0, 1, 2]))
        np.testing.assert_array_equal(plain.numpy(), before.numpy())


@pytest.mark.parametrize("kind", ["number", "array", "numpy scalar"])
def test_19_gradient_accumulation(backend, kind):
    """The mean of the micro-batches' means weighs a batch with few labels as much as a full one."""
    rng = np.random.default_rng(3)
    x, target = rng.normal(size=(12, 5)) * 2, rng.integers(0, 5, 12)
    target[:5] = -100
    target[8] = -100
    whole, gradients = loss_and_gradients(backend, backend.array(x, "float64"), backend.array(target))
    parts = [slice(0, 6), slice(6, 12)]
    arrays = [(backend.array(x[part], "float64"), backend.array(target[part])) for part in parts]
    means = np.mean([backend.numpy(crossent.cross_entropy(z, y)) for z, y in arrays])
    assert abs(means - whole) > 0.01
    count = int((target >= 0).sum())
    divisor = {"number": count, "array": backend.array(np.array(count)), "numpy scalar": np.float32(count)}[kind]
    results = [loss_and_gradients(backend, z, y, denominator=divisor) for z, y in arrays]
    assert sum(value for value, _ in results) == pytest.approx(float(whole), rel=1e-13)
    for way, expected in enumerate(gradients):
        joined = np.concatenate([gradients_of_part[way] for _, gradients_of_part in results])
        np.testing.assert_allclose(joined, expected, rtol=1e-12)


def test_22_layouts_and_small_shapes(backend):
    """Kernels written for contiguous (N, C) batches read the wrong memory for every other layout."""
    rng = np.random.default_rng(4)
    x, target = rng.normal(size=(2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    first = backend.array(x, "float64")
    value = backend.numpy(crossent.cross_entropy(first, backend.array(target)))
    reference = oracle.cross_entropy(x, target)
    assert value == pytest.approx(float(reference.value), rel=1e-13)
    last = backend.array(np.moveaxis(x, 1, -1), "float64")
    assert backend.numpy(crossent.cross_entropy(last, backend.array(target), axis=-1)) == pytest.approx(
        float(value), rel=1e-13
    )
    flat = backend.array(np.moveaxis(x, 1, -1).reshape(-1, 3), "float64")
    assert backend.numpy(crossent.cross_entropy(flat, backend.array(target.reshape(-1)))) == pytest.approx(
        float(value), rel=1e-13
    )
    one, label = backend.array(x[0, :, 0, 0], "float64"), backend.array(np.array(2))
    alone = backend.numpy(crossent.cross_entropy(one, label))
    assert alone.shape == ()
    batched = crossent.cross_entropy(backend.array(x[:1, :, 0, 0], "float64"), backend.array(np.array([2])))
    assert alone == backend.numpy(batched)
    empty = backend.array(np.zeros((0, 3)), "float32")
    none = backend.array(np.zeros(0, int))
    assert np.isnan(backend.numpy(crossent.cross_entropy(empty, none)))
    assert crossent.cross_entropy(empty, none, reduction="none").shape == (0,)
    assert crossent.softmax(empty).shape == (0, 3)
    assert crossent.logsumexp(empty).shape == (0,)
    assert crossent.predict(empty).label.shape == (0,)
    single = backend.array(np.array([[5.0], [-3.0]]), "float32")
    np.testing.assert_array_equal(backend.numpy(crossent.softmax(single)), 1)
    value, gradients = loss_and_gradients(backend, single, backend.array(np.array([0, 0])), check=False)
    assert value == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


def test_23_the_same_bits(backend):
    """Atomic additions and sums split over threads give other last bits from run to run."""
    rng = np.random.default_rng(5)
    x, target = rng.normal(size=(300, 400)), rng.integers(0, 400, 300)
    threads = torch.get_num_threads()
    for dtype in {"float32", "bfloat16"}.intersection(backend.dtypes):
        results = []
        array, labels = backend.array(x, dtype), backend.array(target)
        try:
            for count in (1, 2, 2) if backend.name == "torch" else (threads, threads):
                torch.set_num_threads(count)
                value, gradients = loss_and_gradients(backend, array, labels, label_smoothing=0.1)
                rows = backend.numpy(crossent.cross_entropy(array, labels, reduction="none"))
                results.append([value, rows, backend.numpy(crossent.softmax(array)), *gradients])
        finally:
            torch.set_num_threads(threads)
        for other in results[1:]:
            for one, two in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(one, two)


# --- people's mistakes ---


def test_26_forms_of_targets(backend):
    """Elsewhere int32 labels and integer one-hot rows are refused, in words that name no fix."""
    x = backend.array(np.array([[2.0, 1.0, 0.1], [0.3, 0.2, 0.9]]), "float32")
    expected = backend.numpy(crossent.cross_entropy(x, backend.array(np.array([0, 2]))))
    for kind in (np.int8, np.int32, np.uint8, np.int64):
        assert backend.numpy(crossent.cross_entropy(x, backend.array(np.array([0, 2], kind)))) == expected
        one_hot = backend.array(np.eye(3, dtype=kind)[[0, 2]])
        assert backend.numpy(crossent.cross_entropy(x, one_hot)) == pytest.approx(float(expected), rel=1e-6)
    one_hot = backend.array(np.eye(3, dtype=bool)[[0, 2]])
    assert backend.numpy(crossent.cross_entropy(x, one_hot)) == pytest.approx(float(expected), rel=1e-6)
    assert backend.numpy(crossent.cross_entropy(x, [0, 2])) == expected
    with pytest.raises(DtypeError, match=r"target holds float32, but its shape \(2,\) is that of class indices"):
        crossent.cross_entropy(x, backend.array(np.array([0.0, 2.0]), "float32"))
    with pytest.raises(DtypeError, match=r"is not one-hot \(one 1 in each row\)"):
        crossent.cross_entropy(x, backend.array(np.array([[1, 1, 0], [0, 0, 1]])))


def test_27_shapes_that_mean_something_else(backend):
    """(N, L, C) passes for (N, C, L) when L = C, and N binary logits for one sample of N classes."""
    x = backend.array(np.zeros((8, 10)), "float32")
    with pytest.raises(ShapeError, match=r"use target\.squeeze\(1\)"):
        crossent.cross_entropy(x, backend.array(np.zeros((8, 1), int)))
    sequence = backend.array(np.zeros((4, 7, 3)), "float32")
    with pytest.raises(ShapeError, match=r"the classes of input \(4, 7, 3\) are last, so use axis=-1"):
        crossent.cross_entropy(sequence, backend.array(np.zeros((4, 7), int)))
    square = backend.array(np.zeros((4, 3, 3)), "float32")
    with pytest.warns(MisuseWarning, match="can be read with classes first .taken. or last"):
        crossent.cross_entropy(square, backend.array(np.zeros((4, 3), int)))
    logits, labels = backend.array(np.zeros(4), "float32"), backend.array(np.array([0.0, 1.0, 1.0, 0.0]), "float32")
    with pytest.raises(ProbabilityError, match="for binary labels use binary_cross_entropy_with_logits"):
        crossent.cross_entropy(logits, labels)


def test_28_one_output_unit(backend):
    """softmax over one unit is 1, so the loss is 0 from the first step to the last and nothing is ever learned."""
    x = backend.array(np.array([[3.0], [-2.0]]), "float32")
    for target in (backend.array(np.array([0, 0])), backend.array(np.ones((2, 1)), "float32")):
        with pytest.warns(MisuseWarning, match="one class: softmax over one output unit is 1"):
            crossent.cross_entropy(x, target)


def test_29_a_class_out_of_range(backend):
    """On a GPU the same label kills the process's CUDA context; here it is named, with its place and likely cause."""
    x = backend.array(np.zeros((4, 10)), "float32")
    for labels, text in [
        (
            [1, 2, 3, 10],
            r"target holds 10 at position 3, but there are 10 classes \(0 … 9\): are the labels 1-based\? then",
        ),
        ([0, 2, 3, 10], r"are the labels 1-based\? — in"),
        ([0, 255, 1, 2], r"255 at position 1.*use ignore_index=255"),
        ([0, 1, -1, 2], r"-1 at position 2.*ignore_index=-1"),
        ([0, 1, 77, 2], r"77 at position 2.*78 outputs or more"),
    ]:
        with pytest.raises(ClassIndexError, match=text) as caught:
            crossent.cross_entropy(x, backend.array(np.array(labels)))
        assert isinstance(caught.value, IndexError)
        with pytest.raises(ClassIndexError):
            crossent.cross_entropy(x, backend.array(np.array(labels)), check=False)


def test_29_a_class_out_of_range_where_values_cannot_be_read(differentiating):
    """In a trace nothing can raise: the row is NaN, not the loss of some other class."""
    x, target = np.array([[1.0, 2.0], [3.0, 1.0], [0.5, 0.0]]), np.array([0, 2, -1])
    if differentiating.name.startswith("torch"):
        run = torch.compile(crossent.cross_entropy, backend="aot_eager", fullgraph=True, dynamic=False)
    elif differentiating.name == "mlx":
        import mlx.core as mx

        def run(x, y, **options):
            return mx.compile(lambda x, y: crossent.cross_entropy(x, y, **options))(x, y)
    else:
        import jax

        run = jax.jit(crossent.cross_entropy, static_argnames=["reduction", "label_smoothing"])
    for options in ({}, {"label_smoothing": 0.1}):
        value = run(differentiating.array(x, "float32"), differentiating.array(target), reduction="none", **options)
        value = differentiating.numpy(value)
        assert np.isfinite(value[0])
        assert np.isnan(value[1:]).all()


def test_30_numbers_that_are_no_probabilities(backend):
    """A target of −2, probabilities where logarithms belong, labels of 2: each gives a plausible number elsewhere."""

    def make(*rows):
        return backend.array(np.array(rows), "float32")

    x = make([1.0, 2.0, 3.0])
    with pytest.raises(ProbabilityError, match="target holds -2, but probabilities are not negative"):
        crossent.cross_entropy(x, make([1.0, -2.0, 0.0]))
    with pytest.warns(MisuseWarning, match="target row 0 sums to 1.5"):
        crossent.cross_entropy(x, make([1.0, 0.5, 0.0]))
    with pytest.warns(MisuseWarning, match=r"these look like probabilities: use nll_loss\(log\(p\)\)"):
        crossent.nll_loss(make([0.7, 0.2, 0.1]), backend.array(np.array([0])))
    with pytest.warns(MisuseWarning, match="these look like logits"):
        crossent.nll_loss(x, backend.array(np.array([0])))
    with pytest.raises(ProbabilityError, match="probs holds 2, expected 0 … 1: for logits use"):
        crossent.binary_cross_entropy(make(0.5, 2.0), make(0.0, 1.0))
    with pytest.raises(ProbabilityError, match="target holds 2, expected 0 … 1: labels are 0 or 1"):
        crossent.binary_cross_entropy_with_logits(make(0.5, 2.0), make(0.0, 2.0))
    with pytest.raises(ShapeError, match="for one output give the number n_negative / n_positive"):
        crossent.binary_cross_entropy_with_logits(make([0.5], [2.0]), make([0.0], [1.0]), pos_weight=make(1.0, 2.0))
    with pytest.raises(ShapeError, match=r"use input\.squeeze\(1\) or target"):
        crossent.binary_cross_entropy_with_logits(make([0.5], [2.0]), make(0.0, 1.0))
    with pytest.raises(ShapeError, match=r"use target\.squeeze\(1\)"):
        crossent.binary_cross_entropy_with_logits(make(0.5, 2.0), make([0.0], [1.0]))


def test_31_softmax_normalises_the_last_axis(backend):
    """SciPy's default is the whole array: six zeros in two rows become sixths, not thirds."""
    zeros = backend.array(np.zeros((2, 3)), "float64")
    np.testing.assert_allclose(backend.numpy(crossent.softmax(zeros)), 1 / 3, rtol=1e-15)
    np.testing.assert_allclose(backend.numpy(crossent.log_softmax(zeros)), -math.log(3), rtol=1e-15)
    np.testing.assert_allclose(backend.numpy(crossent.logsumexp(zeros)), math.log(3), rtol=1e-15)
    np.testing.assert_allclose(backend.numpy(crossent.softmax(zeros, axis=0)), 1 / 2, rtol=1e-15)
