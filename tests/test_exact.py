"""How exact: the worst rows that a search finds stay within the bounds of bounds.py, in every room and transform."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import conftest
import exact
import exact_cases as cases
import numpy as np
import pytest
import torch
from bounds import BOUNDS
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

import crossent

NAMES = [case.name for case in cases.CASES]
SCALAR = [case.name for case in cases.CASES if not case.vector]


class Transformed(conftest.Torch):
    """Torch tensors under a transform that takes the place of backward()."""

    def __init__(self, name: str, transform: Any) -> None:
        self.name, self.transform = name, transform

    def gradient(self, function: Any, x: Any, cotangent: Any = None) -> tuple[Any, Any]:
        value = torch.func.vjp(function, x)[0]  # under a transform too: without one, kernels may serve
        return value, self.transform(function, x, torch.from_numpy(np.asarray(cotangent)).to(x.dtype))


def by_grad(function: Any, x: Any, cotangent: Any) -> Any:
    return torch.func.grad(lambda x: (function(x) * cotangent).sum())(x)


def by_vmap(function: Any, x: Any, cotangent: Any) -> Any:
    """Each cotangent's row alone, all at once."""
    apart = torch.eye(len(x), dtype=x.dtype).reshape(len(x), len(x), *[1] * (cotangent.ndim - 1)) * cotangent
    return torch.func.vmap(torch.func.vjp(function, x)[1])(apart)[0].sum(0)


def by_jvp(function: Any, x: Any, cotangent: Any) -> Any:  # of numbers a row, whose cotangents are 1
    columns = torch.eye(x.shape[1], dtype=x.dtype)
    return torch.stack([torch.func.jvp(function, (x,), (c.expand_as(x).contiguous(),))[1] for c in columns], -1)


def by_compile(function: Any, x: Any, cotangent: Any) -> Any:
    torch.compiler.reset()
    leaf = x.clone().requires_grad_()
    torch.compile(function, fullgraph=True, backend="aot_eager")(leaf).backward(cotangent)
    return leaf.grad


CPU = [conftest.Level("v4"), conftest.Level("v3"), conftest.Level("v2"), conftest.Torch()]
QUICK = [conftest.Level("agnostic"), conftest.Strict(), conftest.TorchWithoutKernels()]
TRANSFORMS = [Transformed("grad", by_grad), Transformed("vmap", by_vmap)]


@contextlib.contextmanager
def entered(room: Any) -> Iterator[None]:
    """The room's kernels."""
    with contextlib.ExitStack() as stack:
        if hasattr(room, "level"):
            stack.enter_context(conftest.kernels_of(room.level))
        if room.name == "triton":
            stack.enter_context(conftest.kernels())
        if room.name == "jax":
            stack.enter_context(pytest.importorskip("jax").enable_x64(True))
        yield


def result(room: Any, case: cases.Case, b: cases.Batch, dtype: str) -> tuple[Any, Any]:
    """(value, gradient or None) of a case in a room, in float64."""
    sums = "float64" if dtype == "float64" else "float32"

    def make(values: Any, *, wide: bool = False, integer: bool = False) -> Any:
        return room.array(values) if integer else room.array(values, sums if wide else dtype)

    x = make(b.z)
    along = b.g if case.name in ("softmax", "log_softmax") else np.ones(b.z.shape if case.vector else len(b.z))
    if room.differentiates:
        value, gradient = room.gradient(lambda x: case.call(x, make, b), x, along)
    else:
        value, gradient = case.gradient(x, make, b) if case.gradient else (case.call(x, make, b), None)
    return room.numpy(value), None if gradient is None else room.numpy(gradient)


def check(rooms: list[Any], name: str, dtype: str, table: str, b: cases.Batch) -> None:
    """Hold a batch to the bounds, and tell the search how near it came."""
    case, bounds = cases.BY_NAME[name], BOUNDS[table][dtype][name]
    for room in rooms:
        with entered(room):
            found = cases.worst(case, b, dtype, *result(room, case, b, dtype))
        for what, got, bound in zip(found._fields, found, bounds, strict=True):
            assert got <= bound, f"{room.name}: {name} {dtype}, {what}: {got:.2f} ulp, at most {bound}: {b}"
        with contextlib.suppress(InvalidArgument):  # outside of a search
            target(max(got / bound for got, bound in zip(found, bounds, strict=True)), label=room.name)


def search(rooms: list[Any], name: str, dtype: str, table: str, examples: int) -> None:
    """Batches of hard rows, drawn at random and climbed for the worst."""

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(cases.KINDS), st.integers(0, 2**31), st.floats(-4, 3))
    def run(kind: str, seed: int, size: float) -> None:
        check(rooms, name, dtype, table, cases.batch(kind, seed, float(np.exp(size)), dtype, 4))

    run()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_the_definition(name: str, dtype: str) -> None:
    search(QUICK, name, dtype, "definition", 6)


@pytest.mark.parametrize("room", [pytest.param(room, id=room.name) for room in CPU])
@pytest.mark.parametrize("dtype", list(BOUNDS["cpu"]))
@pytest.mark.parametrize("name", NAMES)
def test_the_kernels(name: str, dtype: str, room: Any) -> None:
    search([room], name, dtype, "cpu", 4)


@pytest.mark.slow
@pytest.mark.parametrize("room", [pytest.param(room, id=room.name) for room in CPU])
@pytest.mark.parametrize("dtype", list(BOUNDS["cpu"]))
@pytest.mark.parametrize("name", NAMES)
def test_the_kernels_searched_long(name: str, dtype: str, room: Any) -> None:
    search([room], name, dtype, "cpu", 60)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_the_definition_searched_long_and_transformed(name: str, dtype: str) -> None:
    rooms = [*QUICK, *TRANSFORMS]
    rooms += [Transformed("jvp", by_jvp)] if name in SCALAR else []
    search(rooms, name, dtype, "definition", 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_compiled(name: str) -> None:
    with conftest.kernels_of("agnostic"):
        search([Transformed("compile", by_compile)], name, "float64", "definition", 3)


@pytest.mark.slow
@pytest.mark.parametrize("table", ["jax", "triton"])
@pytest.mark.parametrize("name", NAMES)
def test_jax_and_triton(name: str, table: str) -> None:
    if table == "triton" and name in ("softmax", "log_softmax", "logsumexp", "entropy", "confidence"):
        pytest.skip("differentiated, these are the definition's on a GPU too")
    room = conftest.Jax() if table == "jax" else next((r for r in conftest.ROOMS if r.name == table), None)
    if room is None:
        pytest.skip("Triton is not installed")
    search([room], name, "float32", table, 12)


def gradient_of(
    function: Any, z: list[float], cotangent: list[float], dtype: torch.dtype = torch.float32
) -> list[float]:
    x = torch.tensor(z, dtype=dtype, requires_grad=True)
    function(x).backward(torch.tensor(cotangent, dtype=dtype))
    return x.grad.double().tolist()


def exact_softmax(z: list[float], g: list[float]) -> list[float]:
    z, g = ([exact.number(x) for x in part] for part in (z, g))
    return [float(x) for x in exact.softmax(z, g)[1].value]


@pytest.mark.parametrize("gap", [17.0, 20.0, 60.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_gradient_of_a_confident_softmax(dtype: torch.dtype, gap: float) -> None:
    if dtype == torch.float16 and gap == 60.0:
        pytest.skip("the answer is below float16's smallest number")
    z, g = [gap, 0.0, 0.5], [1.0, 2.0, -1.0]
    got = gradient_of(crossent.softmax, z, g, dtype)
    rel, least = {torch.float64: (1e-15, 0), torch.float32: (3e-7, 0)}.get(dtype, (4e-3, 2.0**-25))
    assert got == pytest.approx(exact_softmax(z, g), rel=rel, abs=least)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_cotangent_has_in_common_does_not_reach_the_gradient(dtype: torch.dtype) -> None:
    z, g = [0.3, -0.2, 0.1], [4096.0, 4096.0, 4096.0 + 2.0**-10]
    got = gradient_of(crossent.softmax, z, g, dtype)
    z = torch.tensor(z, dtype=dtype).tolist()
    assert got == pytest.approx(exact_softmax(z, g), rel=4 * torch.finfo(dtype).eps)


def test_second_derivatives_of_the_softmaxes_of_eager_tensors() -> None:
    x = torch.tensor([[1.0, -2.0, 0.5], [9.0, 0.0, 0.1]], dtype=torch.float64, requires_grad=True)
    for function in (crossent.softmax, crossent.log_softmax, crossent.logsumexp):
        assert torch.autograd.gradgradcheck(function, (x,), check_batched_grad=True)
        assert torch.autograd.gradcheck(function, (x,), check_batched_grad=True)


def test_the_gradient_of_the_entropy_near_uniform() -> None:
    z = [0.0, 1e-6, -2e-6]
    for dtype, rel in ((torch.float32, 4e-7), (torch.float64, 1e-15)):
        x = torch.tensor([z], dtype=dtype, requires_grad=True)
        crossent.row_stats(x).entropy.sum().backward()
        wanted = exact.entropy([exact.number(a) for a in x[0].tolist()])[1].value
        assert x.grad[0].tolist() == pytest.approx([float(a) for a in wanted], rel=rel)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_temperature_keeps_shift_invariance(offset: float) -> None:
    z = np.array([[offset, offset + 1, offset - 2]], np.float32)
    with conftest.kernels_of("agnostic"):
        loss = crossent.cross_entropy(z, np.array([1]), temperature=0.7)
        p = crossent.softmax(z, temperature=0.7)[0, 1]
    assert float(loss) == pytest.approx(0.22587, rel=1e-4) == -np.log(p)


def test_a_difference_that_overflows_leaves_a_finite_loss_finite() -> None:
    for dtype, high, low in ((np.float32, 3.06e38, -1.70e38), (np.float64, 1.6e308, -1.1e308)):
        z, q = np.array([[high, low]], dtype), np.array([[0.75, 0.25]], dtype)
        with conftest.kernels_of("agnostic"):
            loss, gradient = crossent.cross_entropy_with_grad(z, q)
        assert float(loss) == pytest.approx(0.25 * float(z[0, 0]) - 0.25 * float(z[0, 1]), rel=1e-6)
        assert gradient.tolist() == [[0.25, -0.25]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_classes(dtype: str) -> None:
    for kind in ("plain", "close", "confident"):
        b = cases.batch(kind, 3, 1.0, dtype, 2, 2000)
        for name in ("cross_entropy", "cross_entropy, soft targets"):
            check(QUICK[:1], name, dtype, "definition", b)


def test_the_page_shows_the_bounds() -> None:
    page = (Path(__file__).parents[1] / "docs" / "exactness.md").read_text()
    assert cases.bounds_table(BOUNDS) in page, "run python benchmarks/exactness.py --write"


def test_wide_is_the_dtype_of_the_sums() -> None:
    for dtype, wide in (
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        x = torch.tensor([[1.0, 2.0, 0.5]], dtype=dtype)
        assert crossent.cross_entropy(x, torch.tensor([0]), dtype="wide").dtype == wide
        assert crossent.softmax(x, dtype="wide").dtype == wide
    half = np.array([[1.0, 2.0, 0.5]], np.float16)
    assert crossent.cross_entropy(half, np.array([0]), dtype="wide") == pytest.approx(1.4643686, rel=1e-6)
