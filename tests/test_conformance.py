"""Every function in every room against the reference: value and derivative, each option with each other option."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import oracle
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import crossent

CLASSES = 5
SHAPES = {  # name: (shape, axis)
    "row": ((CLASSES,), None),
    "rows": ((4, CLASSES), None),
    "classes first": ((2, CLASSES, 3), None),
    "classes last": ((2, 3, CLASSES), -1),
    "image": ((2, CLASSES, 2, 3), None),
    "axis 0": ((CLASSES, 3), 0),
}
TORCH_OPTIONS = {"weight", "ignore_index", "label_smoothing", "reduction", "axis"}

FACTORS = {
    "form": ["index", "one-hot", "probability"],
    "layout": list(SHAPES),
    "reduction": ["mean", "sum", "none"],
    "weight": [False, True],
    "sample_weight": [None, "rows", "samples"],
    "ignore": [None, -100, 1],
    "label_smoothing": [0.0, 0.1, 1.0],
    "where": [None, "classes", "full"],
    "z_loss": [0.0, 0.01],
    "softcap": [None, 5.0],
    "temperature": [1.0, 0.7],
    "denominator": [None, "number", "array"],
    "on_empty": ["nan", "zero"],
    "dtype": [None, "float32", "float64"],
}
CASES = oracle.pairwise(FACTORS)
MEAN_FACTORS = {
    **{name: levels[:1] for name, levels in FACTORS.items()},
    **{name: FACTORS[name] for name in ("form", "weight", "z_loss", "on_empty")},
    "layout": ["classes first"],
    "sample_weight": [None, "samples"],
    "ignore": [None, 1],
    "label_smoothing": [0.0, 0.1],
}
TORCH_CASES = oracle.pairwise(
    {
        "form": ["index", "probability"],
        "layout": list(SHAPES),
        "reduction": ["mean", "sum", "none"],
        "weight": [False, True],
        "ignore": [None, -100, 1],
        "label_smoothing": [0.0, 0.1, 1.0],
    }
)


def eighths(rng: np.random.Generator, low: float, high: float, shape) -> np.ndarray:
    """Random weights that every dtype holds exactly."""
    return np.round(rng.uniform(low, high, shape) * 8) / 8


def arguments(case: dict, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict]:
    """(logits, target, options) of a case, as float64 NumPy arrays and numbers."""
    rng = np.random.default_rng([seed, *(len(str(value)) for value in case.values())])
    shape, axis = SHAPES[case["layout"]]
    at = (min(1, len(shape) - 1) if axis is None else axis) % len(shape)
    batch = (*shape[:at], *shape[at + 1 :])
    x = rng.normal(size=shape) * 3
    mask = {None: None, "classes": np.arange(CLASSES) != 3}.get(case.get("where"), rng.uniform(size=shape) < 0.7)
    target = rng.integers(0, 3, batch)
    if case.get("where") == "full":
        np.put_along_axis(mask, np.expand_dims(target, at), True, at)
    options: dict = {"axis": axis, "reduction": case["reduction"], "label_smoothing": case["label_smoothing"]}
    if case["form"] == "index":
        if case["ignore"] is not None:
            target = np.where(rng.uniform(size=batch) < 0.4, case["ignore"], target) if batch else target
            options["ignore_index"] = case["ignore"]
            if case.get("where") == "full" and case["ignore"] >= 0:
                np.put_along_axis(mask, np.expand_dims(np.maximum(target, 0), at), True, at)
    elif case["form"] == "one-hot":
        target = np.moveaxis(np.eye(CLASSES, dtype=int)[target], -1, at)
    else:
        q = rng.uniform(0, 1, shape) ** 2
        if mask is not None:
            aligned = mask if mask.shape == shape else np.moveaxis(np.broadcast_to(mask, (*batch, CLASSES)), -1, at)
            q = np.where(aligned, q, 0)
        target = q / q.sum(at, keepdims=True)
    if case["weight"]:
        options["weight"] = eighths(rng, 0.25, 2, CLASSES)
    if case.get("sample_weight"):
        rows = batch[:1] if case["sample_weight"] == "samples" else batch
        options["sample_weight"] = eighths(rng, 0, 2, rows)
    if mask is not None:
        options["where"] = mask
    for name in ("z_loss", "softcap", "temperature", "on_empty"):
        if name in case:
            options[name] = case[name]
    if case.get("denominator") and case["reduction"] == "mean":
        options["denominator"] = 7.0
    return x, target, options


def to_backend(backend, case: dict, dtype: str, x, target, options: dict) -> tuple:
    """The same arguments as arrays of a library."""
    given = dict(options)
    for name in ("weight", "sample_weight"):
        if name in given:
            given[name] = backend.array(given[name], dtype)
    if "where" in given:
        given["where"] = backend.array(given["where"])
    if case.get("denominator") == "array" and "denominator" in given:
        given["denominator"] = backend.array(np.array([7.0]), dtype)
    target = backend.array(target, dtype if case["form"] == "probability" else None)
    return backend.array(x, dtype), target, given


def beyond(options: dict, known: set[str], defaults: dict) -> bool:
    """Whether a call uses an option that torch does not have."""
    return any(
        isinstance(value, np.ndarray) or name not in defaults or value != defaults[name]
        for name, value in options.items()
        if name not in known
    )


def torch_call(dtype: str, x, target, options: dict, cotangent=None):
    """(value, derivative) of torch's own function for the same call, or (None, None) where it has no such option."""
    if beyond(options, TORCH_OPTIONS, {"z_loss": 0.0, "softcap": None, "temperature": 1.0, "on_empty": "nan"}):
        return None, None
    kind = getattr(torch, dtype)
    axis = options.get("axis")
    at = min(1, x.ndim - 1) if axis is None else axis % x.ndim
    input = torch.tensor(x, dtype=kind, requires_grad=True)
    rows = input.movedim(at, min(1, x.ndim - 1))
    target = torch.tensor(target)
    if target.shape == input.shape:
        target = target.to(kind).movedim(at, min(1, x.ndim - 1))
    given = {name: value for name, value in options.items() if name in TORCH_OPTIONS - {"axis", "weight"}}
    if target.is_floating_point():
        given.pop("ignore_index", None)
    weight = None if options.get("weight") is None else torch.tensor(options["weight"], dtype=kind)
    value = F.cross_entropy(rows, target, weight, **given)
    value.backward(torch.ones_like(value) if cotangent is None else torch.tensor(cotangent).to(kind))
    return value.detach().double().numpy(), input.grad.double().numpy()


def call_id(case: dict) -> str:
    """A case as a test id."""
    return ",".join(str(value) for value in case.values())


def check_cross_entropy(backend, case: dict, dtype: str, seed: int = 0) -> None:
    """One case in one dtype: the value, and the derivative in each way that the library has."""
    x, target, options = arguments(case, seed)
    x, target, given = to_backend(backend, case, dtype, x, target, options)
    exact, exact_target = backend.numpy(x), backend.numpy(target)
    value_dtype = case["dtype"] if case["dtype"] in backend.dtypes else dtype
    if value_dtype != dtype:
        given["dtype"] = value_dtype
    sums = oracle.sum_dtype(dtype, value_dtype)
    reference = oracle.cross_entropy(exact, exact_target, **options)
    theirs = torch_call(dtype, exact, exact_target, options)
    check = {"sums": sums, "dtype": value_dtype, "torch_result": theirs[0] if value_dtype == dtype else None}
    value = crossent.cross_entropy(x, target, **given)
    assert backend.dtype_of(value) == value_dtype
    oracle.assert_close(backend.numpy(value), reference.value, reference.value_scale, **check)
    value, gradient = crossent.cross_entropy_with_grad(x, target, **given)
    oracle.assert_close(backend.numpy(value), reference.value, reference.value_scale, **check)
    assert backend.dtype_of(gradient) == dtype
    check = {"sums": sums, "dtype": dtype, "torch_result": theirs[1]}
    oracle.assert_close(backend.numpy(gradient), reference.gradient, reference.gradient_scale, **check)
    if backend.differentiates:
        cotangent = eighths(np.random.default_rng(1), -2, 2, np.shape(reference.value))
        reference = oracle.cross_entropy(exact, exact_target, **options, cotangent=cotangent)
        _, gradient = backend.gradient(lambda z: crossent.cross_entropy(z, target, **given), x, cotangent)
        check["torch_result"] = torch_call(dtype, exact, exact_target, options, cotangent)[1]
        oracle.assert_close(backend.numpy(gradient), reference.gradient, reference.gradient_scale, **check)


@pytest.mark.parametrize("case", CASES, ids=call_id)
def test_cross_entropy(backend, case):
    for dtype in backend.dtypes:
        check_cross_entropy(backend, case, dtype)


@pytest.mark.parametrize("form", FACTORS["form"])
def test_every_combination_of_what_a_mean_divides_by(backend, form):
    for levels in itertools.product(*({**MEAN_FACTORS, "form": [form]}).values()):
        check_cross_entropy(backend, dict(zip(MEAN_FACTORS, levels, strict=True)), "float32", seed=20)


@given(data=st.data())
def test_options_at_random(data):
    """Any combination of options, also those that the pairs leave out."""
    from conftest import ROOMS

    backend = data.draw(st.sampled_from(ROOMS), label="room")
    dtype = data.draw(st.sampled_from(backend.dtypes), label="dtype")
    case = {name: data.draw(st.sampled_from(levels), label=name) for name, levels in FACTORS.items()}
    check_cross_entropy(backend, case, dtype, data.draw(st.integers(0, 2**32 - 1), label="seed"))


@pytest.mark.parametrize("case", TORCH_CASES, ids=call_id)
def test_cross_entropy_is_torchs_in_float64(case):
    x, target, options = arguments(case, seed=2)
    if case["form"] != "index":
        options.pop("ignore_index", None)
    cotangent = np.random.default_rng(3).normal(size=oracle.cross_entropy(x, target, **options).value.shape)
    value, gradient = torch_call("float64", x, target, options, cotangent)
    ours = torch.tensor(x, requires_grad=True)
    given = {name: torch.tensor(v) if isinstance(v, np.ndarray) else v for name, v in options.items()}
    loss = crossent.cross_entropy(ours, torch.tensor(target), **given)
    loss.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(loss.detach().numpy(), value, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(ours.grad.numpy(), gradient, rtol=1e-12, atol=1e-14)


# --- softmax and its relatives ---

HARD_ROWS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0],
        [9.5, 1.0, 0.5, 2.0],
        [-30.0, 30.0, 0.0, 29.5],
        [1000.0, 1000.0, -1000.0, 999.0],
        [-np.inf, 1.0, 2.0, -np.inf],
        [-np.inf, -np.inf, -np.inf, 0.5],
        [6e4, -6e4, 0.0, 6e4],
        [1e-3, 2e-3, -1e-3, 5e-8],
    ]
)
SPECIAL_ROWS = np.array(
    [
        [-np.inf, -np.inf, -np.inf, -np.inf],
        [np.inf, 1.0, 2.0, 3.0],
        [np.nan, 1.0, 2.0, 3.0],
        [np.inf, np.inf, -np.inf, 0.0],
        [np.nan, np.inf, 0.0, 0.0],
        [1.0, 2.0, 3.0, 4.0],
    ]
)


def torch_softmax(name: str, dtype: str, x, cotangent=None, **options):
    """(value, derivative) of torch's own function."""
    input = torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=cotangent is not None)
    value = getattr(torch, name)(input, -1, **options)
    if cotangent is None:
        return value.double().numpy(), None
    value.backward(torch.tensor(cotangent).to(value.dtype))
    return value.detach().double().numpy(), input.grad.double().numpy()


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_family(backend, name):
    rng = np.random.default_rng(4)
    x = np.concatenate([HARD_ROWS, rng.normal(size=(8, 4)) * 10])
    reference_of = {
        "softmax": oracle.softmax,
        "log_softmax": lambda *a: oracle.softmax(*a, log=True),
        "logsumexp": oracle.logsumexp,
    }[name]
    for dtype in backend.dtypes:
        array = backend.array(x, dtype)
        exact = backend.numpy(array)
        cotangent = eighths(rng, -2, 2, exact.shape[:1] if name == "logsumexp" else exact.shape)
        reference = reference_of(exact, -1, cotangent)
        theirs = torch_softmax(name, dtype, exact, cotangent)
        value = getattr(crossent, name)(array)
        assert backend.dtype_of(value) == dtype
        oracle.assert_close(backend.numpy(value), reference.value, reference.value_scale, dtype, torch_result=theirs[0])
        if backend.differentiates:
            _, gradient = backend.gradient(getattr(crossent, name), array, cotangent)
            check = {"torch_result": theirs[1]}
            oracle.assert_close(backend.numpy(gradient), reference.gradient, reference.gradient_scale, dtype, **check)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_family_of_infinities_and_nan(backend, name):
    for dtype in backend.dtypes:
        value = backend.numpy(getattr(crossent, name)(backend.array(SPECIAL_ROWS, dtype)))
        theirs = torch_softmax(name, "float64", SPECIAL_ROWS)[0]
        special = ~np.isfinite(theirs)
        np.testing.assert_array_equal(np.where(special, theirs, 0), np.where(special, value, 0))


@pytest.mark.parametrize("options", oracle.pairwise(
    {"axis": [0, 1, -1], "where": [None, "classes", "full"], "temperature": [1.0, 0.3, 20], "dtype": [None, "float64"]}
), ids=call_id)  # fmt: skip
def test_softmax_options(backend, options):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3, 4, 5)) * 4
    axis = options["axis"]
    mask = {None: None, "classes": np.arange(x.shape[axis]) != 1}.get(options["where"], rng.uniform(size=x.shape) < 0.6)
    full = mask
    if options["where"] == "classes":
        full = np.moveaxis(np.broadcast_to(mask, (*np.delete(x.shape, axis % 3), mask.size)), -1, axis)
    if options["where"] == "full":
        np.put_along_axis(mask, np.zeros_like(mask.argmax(axis, keepdims=True)), True, axis)
    where = {} if mask is None else {"where": backend.array(mask)}
    for dtype in backend.dtypes:
        array = backend.array(x, dtype)
        result = options["dtype"] or dtype
        sums = oracle.sum_dtype(dtype, result)
        for log in (False, True):
            function = crossent.log_softmax if log else crossent.softmax
            value = function(array, axis, temperature=options["temperature"], dtype=options["dtype"], **where)
            reference = oracle.softmax(
                backend.numpy(array), axis, log=log, temperature=options["temperature"], where=full
            )
            assert backend.dtype_of(value) == result
            scale = reference.value_scale * (1 + np.abs(backend.numpy(array)).max() / options["temperature"])
            oracle.assert_close(backend.numpy(value), reference.value, scale, result, sums=sums)
        value = crossent.logsumexp(array, axis, keepdims=True, dtype=options["dtype"], **where)
        reference = oracle.logsumexp(backend.numpy(array), axis, where=full)
        assert value.shape == tuple(1 if i == axis % 3 else size for i, size in enumerate(x.shape))
        value = backend.numpy(value).squeeze(axis)
        oracle.assert_close(value, reference.value, reference.value_scale, result, sums=sums)


# --- nll, statistics, prediction ---


@pytest.mark.parametrize("case", TORCH_CASES, ids=call_id)
def test_nll_loss(backend, case):
    x, target, options = arguments(case, seed=6)
    options.pop("label_smoothing")
    at = options["axis"] if options["axis"] is not None else min(1, x.ndim - 1)
    log_p = np.asarray(oracle.softmax(x, at, log=True).value, float)
    for dtype in backend.dtypes:
        arrays = to_backend(backend, case, dtype, log_p, target, options)
        reference = oracle.cross_entropy(backend.numpy(arrays[0]), backend.numpy(arrays[1]), **options, log_probs=True)
        value = crossent.nll_loss(arrays[0], arrays[1], **arrays[2])
        oracle.assert_close(backend.numpy(value), reference.value, reference.value_scale, dtype)
        if backend.differentiates:
            _, gradient = backend.gradient(
                lambda z, arrays=arrays: crossent.nll_loss(z, arrays[1], **arrays[2]), arrays[0], np.ones(value.shape)
            )
            oracle.assert_close(backend.numpy(gradient), reference.gradient, reference.gradient_scale, dtype)
    if case["form"] == "index":
        kinds = {name: torch.tensor(v) if isinstance(v, np.ndarray) else v for name, v in options.items()}
        rows = torch.tensor(log_p).movedim(at, min(1, x.ndim - 1))
        kinds.pop("axis")
        theirs = F.nll_loss(rows, torch.tensor(target), **kinds)
        ours = crossent.nll_loss(rows, torch.tensor(target), **kinds)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-13)


@pytest.mark.parametrize("layout", list(SHAPES))
def test_row_stats(backend, layout):
    shape, axis = SHAPES[layout]
    at = min(1, len(shape) - 1) if axis is None else axis
    rng = np.random.default_rng(7)
    x = rng.normal(size=shape) * 4
    target = np.asarray(rng.integers(0, CLASSES, np.delete(shape, at)))
    if target.ndim:
        target.reshape(-1)[0] = -100
    for dtype in backend.dtypes:
        array = backend.array(x, dtype)
        exact = backend.numpy(array)
        stats = crossent.row_stats(array, backend.array(target), axis=axis)
        reference = oracle.row_stats(exact, axis)
        for name in ("lse", "entropy", "confidence"):
            assert backend.dtype_of(getattr(stats, name)) == dtype
            oracle.assert_close(backend.numpy(getattr(stats, name)), *reference[name], dtype)
        np.testing.assert_array_equal(backend.numpy(stats.prediction), reference["prediction"][0])
        loss = oracle.cross_entropy(exact, target, axis=axis, reduction="none")
        oracle.assert_close(backend.numpy(stats.loss), loss.value, loss.value_scale, dtype)
        oracle.assert_close(backend.numpy(stats.target_log_prob), -loss.value, loss.value_scale, dtype)


def test_row_stats_options_and_absent_target(backend):
    x = np.random.default_rng(8).normal(size=(3, 4)) * 3
    array, target = backend.array(x, "float32"), backend.array(np.array([0, 3, -100]))
    options = {"label_smoothing": 0.2, "z_loss": 0.1, "softcap": 4.0, "temperature": 2.0}
    weight = backend.array(np.array([1.0, 2.0, 0.5, 1.5]), "float32")
    loss = crossent.cross_entropy(array, target, weight, reduction="none", **options)
    stats = crossent.row_stats(array, target, weight, **options)
    np.testing.assert_array_equal(backend.numpy(stats.loss), backend.numpy(loss))
    plain = crossent.cross_entropy(array, target, reduction="none", softcap=4.0, temperature=2.0)
    np.testing.assert_allclose(backend.numpy(stats.target_log_prob), -backend.numpy(plain), rtol=1e-6)
    alone = crossent.row_stats(array, softcap=4.0, temperature=2.0)
    assert alone.loss is None
    assert alone.target_log_prob is None
    capped = 4 * np.tanh(backend.numpy(array) / 4) / 2
    for name in ("lse", "entropy", "confidence", "prediction"):
        np.testing.assert_array_equal(backend.numpy(getattr(alone, name)), backend.numpy(getattr(stats, name)))
        np.testing.assert_allclose(
            backend.numpy(getattr(alone, name)), oracle.row_stats(capped)[name][0].astype(float), rtol=2e-6
        )


def test_row_stats_of_a_row_of_weight_zero(backend):
    """It costs nothing, but its log-probability is that of its logits, NaN too."""
    x = np.array([[np.nan, 0.0, 1.0], [1.0, 2.0, 0.0]])
    x, y, rows = backend.array(x, "float32"), backend.array(np.array([1, 0])), backend.array(np.zeros(2), "float32")
    stats = crossent.row_stats(x, y, sample_weight=rows, check=False)
    np.testing.assert_array_equal(backend.numpy(stats.loss), 0)
    expected = [np.nan, 1 - np.logaddexp.reduce([1.0, 2.0, 0.0])]
    np.testing.assert_allclose(backend.numpy(stats.target_log_prob), expected, rtol=1e-6)


def test_row_stats_are_differentiable(differentiating):
    backend = differentiating
    x = np.concatenate([np.random.default_rng(9).normal(size=(4, 6)) * 3, [[0.0] * 6, [40.0, 0, 1, 2, 3, 4]]])
    exact = np.asarray(x, oracle.Real)
    p = oracle.softmax(x).value
    entropy = oracle.row_stats(x)["entropy"][0]
    log_p = oracle.softmax(x, log=True).value
    best = np.eye(6)[exact.argmax(1)]
    confidence = p.max(1, keepdims=True)
    derivative = {
        "lse": p,
        "entropy": -p * (log_p + entropy[:, None]),
        "confidence": confidence * (best - p),
    }
    for name, expected in derivative.items():
        _, gradient = backend.gradient(
            lambda z, name=name: getattr(crossent.row_stats(z), name), backend.array(x, "float64"), np.ones(len(x))
        )
        kept = [0, 1, 2, 3, 5] if name == "confidence" else slice(None)  # at a tie the maximum has no derivative
        wanted = np.asarray(expected, float)[kept]
        np.testing.assert_allclose(backend.numpy(gradient)[kept], wanted, rtol=1e-12, atol=1e-16)


def test_row_stats_lse_has_the_derivative_of_logsumexp(differentiating):
    backend = differentiating
    x = np.random.default_rng(19).normal(size=(2, 2000))
    array = backend.array(x, "float32")
    reference = oracle.logsumexp(backend.numpy(array))
    _, gradient = backend.gradient(lambda z: crossent.row_stats(z).lse, array, np.ones(2))
    oracle.assert_close(backend.numpy(gradient), reference.gradient, reference.gradient_scale, "float32")


@pytest.mark.parametrize("layout", list(SHAPES))
def test_predict(backend, layout):
    shape, axis = SHAPES[layout]
    x = np.random.default_rng(10).normal(size=shape) * 4
    for dtype in backend.dtypes:
        array = backend.array(x, dtype)
        label, probability = crossent.predict(array, axis)
        reference = oracle.row_stats(backend.numpy(array), axis)
        np.testing.assert_array_equal(backend.numpy(label), reference["prediction"][0])
        assert backend.dtype_of(probability) == dtype
        oracle.assert_close(backend.numpy(probability), *reference["confidence"], dtype)


# --- the binary losses ---

BINARY_CASES = oracle.pairwise(
    {
        "shape": [(6,), (4, 3), (2, 3, 2)],
        "reduction": ["mean", "sum", "none"],
        "weight": [None, "elements", "last"],
        "pos_weight": [None, "outputs", "number"],
        "label_smoothing": [0.0, 0.2],
        "softcap": [None, 5.0],
        "temperature": [1.0, 0.7],
        "denominator": [None, 5.0],
        "labels": ["soft", "integers", "booleans"],
    }
)


def binary_arguments(case: dict) -> tuple[np.ndarray, np.ndarray, dict]:
    """(logits, target, options) of a binary case."""
    rng = np.random.default_rng([11, *(len(str(value)) for value in case.values())])
    shape = case["shape"]
    x = rng.normal(size=shape) * 6
    y = np.round(rng.uniform(size=shape) * 8) / 8
    if case["labels"] != "soft":
        y = (y > 0.5).astype(int if case["labels"] == "integers" else bool)
    options = {name: case[name] for name in ("reduction", "label_smoothing", "softcap", "temperature")}
    weights = {"elements": shape, "last": shape[-1:], "outputs": shape[-1:], "number": ()}
    for name in ("weight", "pos_weight"):
        if case[name]:
            options[name] = eighths(rng, 0.25, 3, weights[case[name]])
    if case["denominator"] and case["reduction"] == "mean":
        options["denominator"] = case["denominator"]
    return x, y, options


@pytest.mark.parametrize("probabilities", [False, True], ids=["logits", "probabilities"])
@pytest.mark.parametrize("case", BINARY_CASES, ids=call_id)
def test_binary(backend, case, probabilities):
    x, y, options = binary_arguments(case)
    if probabilities:
        x = 1 / (1 + np.exp(-x))
        options = {name: value for name, value in options.items() if name not in ("softcap", "temperature")}
    function = crossent.binary_cross_entropy if probabilities else crossent.binary_cross_entropy_with_logits
    for dtype in backend.dtypes:
        given = {n: backend.array(v, dtype) if isinstance(v, np.ndarray) else v for n, v in options.items()}
        array, target = backend.array(x, dtype), backend.array(y, dtype if case["labels"] == "soft" else None)
        exact = backend.numpy(array)
        reference = oracle.binary(exact, y, **options, probabilities=probabilities)
        value = function(array, target, **given)
        assert backend.dtype_of(value) == dtype
        theirs = torch_binary(dtype, exact, y, options, probabilities)
        check = {"torch_result": theirs[0]}
        oracle.assert_close(backend.numpy(value), reference.value, reference.value_scale, dtype, **check)
        if backend.differentiates:
            cotangent = eighths(np.random.default_rng(12), -2, 2, value.shape)
            reference = oracle.binary(exact, y, **options, probabilities=probabilities, cotangent=cotangent)
            _, gradient = backend.gradient(lambda z, t=target, g=given: function(z, t, **g), array, cotangent)
            check = {"torch_result": torch_binary(dtype, exact, y, options, probabilities, cotangent)[1]}
            oracle.assert_close(backend.numpy(gradient), reference.gradient, reference.gradient_scale, dtype, **check)


def torch_binary(dtype: str, x, y, options: dict, probabilities: bool, cotangent=None):
    """(value, derivative) of torch's own function, or (None, None) where it has no such option."""
    defaults = {"label_smoothing": 0.0, "softcap": None, "temperature": 1.0}
    known = {"weight", "reduction", *(() if probabilities else ("pos_weight",))}
    if beyond(options, known, defaults):
        return None, None
    kind = getattr(torch, dtype)
    input = torch.tensor(x, dtype=kind, requires_grad=True)
    given = {
        n: torch.tensor(v, dtype=kind) if isinstance(v, np.ndarray) else v for n, v in options.items() if n in known
    }
    function = F.binary_cross_entropy if probabilities else F.binary_cross_entropy_with_logits
    value = function(input, torch.tensor(y).to(kind), **given)
    value.backward(torch.ones_like(value) if cotangent is None else torch.tensor(cotangent).to(kind))
    return value.detach().double().numpy(), input.grad.double().numpy()


# --- shapes, strides, dtypes and values at random ---

VIEWS = ("contiguous", "transposed", "sliced", "reversed", "expanded", "unaligned", "channels last")


def as_view(backend, values: np.ndarray, dtype: str, view: str):
    """An array with these values (one row repeated, for "expanded") and these strides."""
    torch_room = backend.name == "torch"
    make = functools.partial(backend.array, dtype=dtype)
    if view == "transposed":
        turned = make(np.ascontiguousarray(values.T))
        return turned.permute(*range(values.ndim)[::-1]) if torch_room else turned.T
    if view == "sliced":
        wide = make(np.repeat(np.repeat(values, 2, -1), 3, 0) * np.tile([1, np.nan], values.shape[-1]))
        return wide[::3, ..., ::2]
    if view == "reversed" and not torch_room:
        return make(np.ascontiguousarray(values[::-1, ..., ::-1]))[::-1, ..., ::-1]
    if view == "expanded":
        one = make(values[:1])
        return one.expand(*values.shape) if torch_room else np.broadcast_to(one, values.shape)
    if view == "unaligned" and torch_room:
        return torch.cat([torch.zeros(1, dtype=getattr(torch, dtype)), make(values).reshape(-1)])[1:].reshape(
            values.shape
        )
    if view == "unaligned":
        plain = make(values)
        memory = np.frombuffer(b"\0" + plain.tobytes(), np.uint8)[1:]
        return memory.view(plain.dtype).reshape(values.shape)
    if view == "channels last" and values.ndim == 4 and torch_room:
        return make(values).to(memory_format=torch.channels_last)
    return make(values)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("layout", ["rows", "classes first", "classes last", "image"])
def test_strides(backend, view, layout):
    if backend.name not in ("numpy", "torch"):
        return  # their arrays have no strides that a caller can set
    shape, axis = SHAPES[layout]
    at = 1 if axis is None else axis
    rng = np.random.default_rng(13)
    values = rng.normal(size=shape) * 3
    if view == "expanded":
        values = np.broadcast_to(values[:1], shape)
    target = rng.integers(0, CLASSES, np.delete(shape, at))
    cotangent = eighths(rng, -2, 2, target.shape)
    for dtype in backend.dtypes:
        array = as_view(backend, values, dtype, view)
        exact, before = backend.numpy(array), backend.numpy(array).copy()
        reference = oracle.cross_entropy(exact, target, axis=axis, reduction="none")
        value, gradient = crossent.cross_entropy_with_grad(array, backend.array(target), axis=axis, reduction="none")
        oracle.assert_close(backend.numpy(value), reference.value, reference.value_scale, dtype)
        oracle.assert_close(backend.numpy(gradient), reference.gradient, reference.gradient_scale, dtype)
        probabilities = oracle.softmax(exact, at)
        value = backend.numpy(crossent.softmax(array, at))
        oracle.assert_close(value, probabilities.value, probabilities.value_scale, dtype)
        np.testing.assert_array_equal(backend.numpy(array), before)
        if backend.differentiates:
            reference = oracle.cross_entropy(exact, target, axis=axis, reduction="none", cotangent=cotangent)
            leaf = array.detach().requires_grad_()
            loss = crossent.cross_entropy(leaf, backend.array(target), axis=axis, reduction="none")
            turned = torch.tensor(np.ascontiguousarray(cotangent.T)).to(loss.dtype)
            (gradient,) = torch.autograd.grad(loss, leaf, turned.permute(*range(turned.ndim)[::-1]))
            oracle.assert_close(backend.numpy(gradient), reference.gradient, reference.gradient_scale, dtype)


TARGET_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@given(data=st.data())
def test_cross_entropy_at_random(data):
    """Any shape (N = 0 and C = 1 too), any dtype of logits and targets, any magnitude, ±∞ among the logits."""
    from conftest import ROOMS

    backend = data.draw(st.sampled_from(ROOMS), label="room")
    dtype = data.draw(st.sampled_from(backend.dtypes), label="dtype")
    batch = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple), label="rows")
    classes = data.draw(st.integers(1, 7), label="classes")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    scale = data.draw(st.sampled_from([1e-3, 1.0, 30.0, 1e4]), label="scale")
    x = np.clip(rng.normal(size=(*batch, classes)) * scale, -6e4, 6e4)
    x = np.where(rng.uniform(size=x.shape) < data.draw(st.sampled_from([0.0, 0.3]), label="masked"), -np.inf, x)
    target = rng.integers(0, classes, batch)
    np.put_along_axis(x, target[..., None], np.where(np.isinf(x), 0, x).max(-1, keepdims=True, initial=-1), -1)
    ignored = rng.uniform(size=batch) < 0.2
    kind = data.draw(st.sampled_from(TARGET_DTYPES), label="target dtype")
    target = np.where(ignored, 100, target).astype(kind)
    axis = data.draw(st.sampled_from([-1, 0, 1]), label="axis")
    options = {
        "reduction": data.draw(st.sampled_from(["mean", "sum", "none"]), label="reduction"),
        "ignore_index": 100,
        "axis": axis,
        "on_empty": data.draw(st.sampled_from(["nan", "zero"]), label="on_empty"),
        "label_smoothing": 0.0 if np.isinf(x).any() else data.draw(st.sampled_from([0.0, 0.25]), label="smoothing"),
    }
    array = backend.array(np.ascontiguousarray(np.moveaxis(x, -1, axis)), dtype)
    exact = backend.numpy(array)
    reference = oracle.cross_entropy(exact, target.astype(int), **options)
    theirs = torch_call(dtype, exact, target.astype(int), options) if target.size else (None, None)
    value, gradient = crossent.cross_entropy_with_grad(array, backend.array(target), **options, check=False)
    if options["on_empty"] == "zero":
        theirs = (None, theirs[1])
    check = {"dtype": dtype, "torch_result": theirs[0]}
    oracle.assert_close(backend.numpy(value), reference.value, reference.value_scale, **check)
    check["torch_result"] = theirs[1]
    oracle.assert_close(backend.numpy(gradient), reference.gradient, reference.gradient_scale, **check)


@pytest.mark.parametrize("kind", TARGET_DTYPES)
def test_every_integer_dtype_of_targets(backend, kind):
    x = np.random.default_rng(14).normal(size=(3, 4))
    array = backend.array(x, "float32")
    expected = backend.numpy(crossent.cross_entropy(array, backend.array(np.array([3, 0, 2]))))
    assert backend.numpy(crossent.cross_entropy(array, backend.array(np.array([3, 0, 2], kind)))) == expected
    assert backend.numpy(crossent.cross_entropy(array, np.array([3, 0, 2], kind))) == expected
    one_hot = np.eye(4, dtype=kind)[[3, 0, 2]]
    np.testing.assert_allclose(
        backend.numpy(crossent.cross_entropy(array, backend.array(one_hot))), expected, rtol=1e-7
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_stride_zero_cotangents(differentiating, reduction):
    """loss.sum().backward() hands an expanded cotangent down."""
    backend = differentiating
    if backend.name != "torch":
        return
    x, target = np.random.default_rng(15).normal(size=(3, 4, 2)), np.array([[0, 1], [3, -100], [2, 2]])
    reference = oracle.cross_entropy(x, target, reduction=reduction)
    leaf = torch.tensor(x, requires_grad=True)
    loss = crossent.cross_entropy(leaf, torch.tensor(target), reduction=reduction)
    loss.sum().backward()
    oracle.assert_close(leaf.grad, reference.gradient, reference.gradient_scale, "float64")
    leaf = torch.tensor(x, requires_grad=True)
    loss = crossent.cross_entropy(leaf, torch.tensor(target), reduction=reduction)
    torch.autograd.backward(loss, torch.tensor(2.0, dtype=torch.float64).expand(loss.shape))
    oracle.assert_close(leaf.grad, 2 * reference.gradient, 2 * reference.gradient_scale, "float64")


# --- torch through its modules and its compiler ---

HANDFUL = [0, len(CASES) // 3, 2 * len(CASES) // 3, len(CASES) - 1]


@pytest.mark.parametrize("number", HANDFUL)
@pytest.mark.parametrize("way", ["module", "compiled"])
def test_torch_module_and_compiler(number, way):
    case = CASES[number]
    x, target, options = arguments(case, seed=16)
    tensors = {name: torch.tensor(v) if isinstance(v, np.ndarray) else v for name, v in options.items()}
    labels = torch.tensor(target)
    if way == "module":
        loss = crossent.nn.CrossEntropyLoss(tensors.pop("weight", None))
        function = functools.partial(loss, target=labels, **tensors)
    else:
        function = torch.compile(
            lambda z: crossent.cross_entropy(z, labels, **tensors), backend="aot_eager", fullgraph=True, dynamic=False
        )
    reference = oracle.cross_entropy(x, target, **options)
    leaf = torch.tensor(x, requires_grad=True)
    value = function(leaf)
    value.sum().backward()
    oracle.assert_close(value.detach(), reference.value, reference.value_scale, "float64")
    oracle.assert_close(leaf.grad, reference.gradient, reference.gradient_scale, "float64")


@pytest.mark.parametrize("name", ["BCEWithLogitsLoss", "BCELoss", "NLLLoss", "Softmax", "LogSoftmax"])
def test_other_modules(name):
    rng = np.random.default_rng(17)
    x, y = torch.tensor(rng.normal(size=(3, 4))), torch.tensor(rng.uniform(size=(3, 4)))
    arguments_of = {
        "BCEWithLogitsLoss": (x, y),
        "BCELoss": (torch.sigmoid(x), y),
        "NLLLoss": (torch.log_softmax(x, 1), torch.tensor([0, 1, 3])),
        "Softmax": (x,),
        "LogSoftmax": (x,),
    }[name]
    options = {"dim": 1} if "Softmax" in name else {}
    ours, theirs = getattr(crossent.nn, name)(**options), getattr(torch.nn, name)(**options)
    torch.testing.assert_close(ours(*arguments_of), theirs(*arguments_of), rtol=1e-13, atol=1e-15)
    assert isinstance(ours, getattr(torch.nn, name))


# --- the tests' own footing ---


def test_the_reference_is_torchs_in_float64():
    """The reference and torch agree where torch is exact enough, so a slip in the one shows."""
    for case in TORCH_CASES:
        x, target, options = arguments(case, seed=18)
        if case["form"] != "index":
            options.pop("ignore_index", None)
        reference = oracle.cross_entropy(x, target, **options)
        value, gradient = torch_call("float64", x, target, options)
        np.testing.assert_allclose(np.asarray(reference.value, float), value, rtol=1e-13)
        np.testing.assert_allclose(np.asarray(reference.gradient, float), gradient, rtol=1e-12, atol=1e-15)


def test_all_pairs_of_options_occur():
    factors = {"a": [0, 1, 2], "b": [0, 1], "c": [0, 1, 2], "d": [0, 1]}
    cases = oracle.pairwise(factors)
    for one, two in itertools.permutations(factors, 2):
        found = {(case[one], case[two]) for case in cases}
        assert found == set(itertools.product(factors[one], factors[two]))
    assert len(cases) < 3 * 2 * 3 * 2 / 2
