"""The linear loss in every room against the reference: value and derivatives, each option with each other option."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch
from test_conformance import call_id, eighths

import crossent
from crossent._torch import linear as torch_linear

CLASSES, FEATURES = 7, 5
LAYOUTS = {"row": (), "rows": (9,), "sequences": (2, 5), "transposed": (2, 5), "blocks": (2, 3, 4)}
FACTORS = {
    "form": ["index", "probability"],
    "layout": list(LAYOUTS),
    "reduction": ["mean", "sum", "none"],
    "bias": [False, True],
    "chunk_size": [None, 1, 4],
    "shift": [0, 1],
    "weight": [False, True],
    "sample_weight": [None, "rows", "samples"],
    "ignore": [None, -100, 1],
    "label_smoothing": [0.0, 0.1],
    "where": [None, "classes", "full"],
    "z_loss": [0.0, 0.01],
    "softcap": [None, 5.0],
    "temperature": [1.0, 0.7],
    "denominator": [None, "number", "array"],
    "on_empty": ["nan", "zero"],
    "dtype": [None, "float32"],
}
CASES = oracle.pairwise(FACTORS)
WAYS = ("chunks", "whole")


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Small layers of torch tensors chunk by chunk too, as large ones are."""
    if request.param == "chunks":
        monkeypatch.setattr(torch_linear, "SMALL", 0)
    return request.param


def arguments(case: dict, seed: int = 0) -> tuple:
    """(x, W, target, options) of a case, as NumPy arrays of numbers that every dtype holds."""
    rng = np.random.default_rng([seed, *(len(str(value)) for value in case.values())])
    batch = LAYOUTS[case["layout"]]
    x, w = eighths(rng, -2, 2, (*batch, FEATURES)), eighths(rng, -2, 2, (CLASSES, FEATURES))
    shift = case["shift"] if len(batch) > 0 else 0
    target = rng.integers(0, 3, batch)
    options: dict = {name: case[name] for name in ("reduction", "label_smoothing", "z_loss", "softcap", "temperature")}
    options["on_empty"] = case["on_empty"]
    if case["bias"]:
        options["linear_bias"] = eighths(rng, -1, 1, CLASSES)
    if case["where"] == "classes":
        options["where"] = np.arange(CLASSES) != 5
    elif case["where"] == "full":
        options["where"] = rng.uniform(size=(*batch, CLASSES)) < 0.7
        np.put_along_axis(options["where"], np.maximum(target, 0)[..., None], True, -1)
    if case["form"] == "probability":
        q = rng.uniform(size=(*batch, CLASSES)) * options.get("where", True)
        target = q / q.sum(-1, keepdims=True)
    elif case["ignore"] is not None:
        target = np.where(rng.uniform(size=batch) < 0.4, case["ignore"], target)
        options["ignore_index"] = case["ignore"]
        if case["where"] == "full" and case["ignore"] >= 0:
            np.put_along_axis(options["where"], np.maximum(target, 0)[..., None], True, -1)
    if case["weight"]:
        options["weight"] = eighths(rng, 0.25, 2, CLASSES)
    if case["sample_weight"]:
        options["sample_weight"] = eighths(rng, 0, 2, batch if case["sample_weight"] == "rows" else batch[:1])
    if case["denominator"] and case["reduction"] == "mean":
        options["denominator"] = 7.0
    if shift:
        options["shift"] = shift
    return x, w, target, options


def to_backend(backend, case: dict, dtype: str, x, w, target, options: dict) -> tuple:
    """The same arguments as arrays of a library, the transposed layout in memory of another order."""
    given = {name: backend.array(v, dtype) if name in REAL else v for name, v in options.items()}
    if "where" in given:
        given["where"] = backend.array(given["where"])
    if case["denominator"] == "array" and "denominator" in given:
        given["denominator"] = backend.array(np.array([7.0]), dtype)
    given["chunk_size"] = case["chunk_size"]
    if case["layout"] == "transposed" and backend.name in ("numpy", "torch"):
        x = backend.array(np.swapaxes(x, 0, 1).copy(), dtype).swapaxes(0, 1)
    else:
        x = backend.array(x, dtype)
    return x, backend.array(w, dtype), backend.array(target, dtype if target.dtype.kind == "f" else None), given


REAL = ("weight", "sample_weight", "linear_bias")


def autograd(x, w, target, given: dict, cotangent) -> tuple:
    """(value, derivatives) of torch's autograd."""
    leaves = [x, w, *([given["linear_bias"]] if "linear_bias" in given else [])]
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    own = {**given, "linear_bias": leaves[2]} if len(leaves) == 3 else given
    value = crossent.linear_cross_entropy(leaves[0], leaves[1], target, **own)
    value.backward(torch.as_tensor(cotangent).to(value.dtype))
    return value.detach(), [leaf.grad for leaf in leaves]


def check(backend, found, reference: oracle.LinearResult, dtype: str, value_dtype: str) -> None:
    """A value and its derivatives against the reference."""
    value, gradients = found
    sums = oracle.sum_dtype(dtype, value_dtype)
    kind = dtype if dtype in ("float16", "bfloat16") else sums  # the logits are rounded to sixteen bits
    assert backend.dtype_of(value) == value_dtype
    oracle.assert_close(backend.numpy(value), reference.value, reference.value_scale, value_dtype, sums=kind)
    for gradient, exact, scale in zip(gradients, reference.gradients, reference.gradient_scales, strict=False):
        if gradient is not None:
            assert backend.dtype_of(gradient) == dtype
            oracle.assert_close(backend.numpy(gradient), exact, scale, dtype, sums=kind)


def check_case(backend, case: dict, dtype: str, seed: int = 0) -> None:
    """One case in one dtype: the value, and the derivatives in each way that the library has."""
    plain = arguments(case, seed)
    x, w, target, given = to_backend(backend, case, dtype, *plain)
    options = {**plain[3]}
    for name in REAL:
        if name in options:
            options[name] = backend.numpy(given[name])
    value_dtype = case["dtype"] or dtype
    if case["dtype"]:
        given["dtype"] = case["dtype"]
    exact = (backend.numpy(x), backend.numpy(w), backend.numpy(target))
    reference = oracle.linear_cross_entropy(*exact, **{**options})
    value = crossent.linear_cross_entropy(x, w, target, **given)
    found = crossent.linear_cross_entropy_with_grad(x, w, target, **given)
    check(backend, (value, ()), reference, dtype, value_dtype)
    check(backend, found, reference, dtype, value_dtype)
    if backend.name == "torch":
        cotangent = eighths(np.random.default_rng(1), -2, 2, np.shape(reference.value))
        reference = oracle.linear_cross_entropy(*exact, **options, cotangent=cotangent)
        check(backend, autograd(x, w, target, given, cotangent), reference, dtype, value_dtype)


@pytest.mark.parametrize("case", CASES, ids=call_id)
def test_linear_cross_entropy(backend, case, way):
    if way == "whole" and backend.name != "torch":
        return
    for dtype in backend.dtypes:
        check_case(backend, case, dtype)
