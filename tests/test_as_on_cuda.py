"""What a GPU would do with a call: launches counted, nothing read by the host, no memory taken for written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from as_on_cuda import HostRead, device
from conftest import DEVICE

import crossent
import crossent.checks

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="takes the interpreter")

ROWS, CLASSES = 6, 40
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weight": {"weight": torch.rand(CLASSES) + 0.5},
    "smoothing": {"label_smoothing": 0.1},
    "smoothing and weight": {"label_smoothing": 0.1, "weight": torch.rand(CLASSES) + 0.5},
    "z_loss": {"z_loss": 0.1},
    "softcap and temperature": {"softcap": 5.0, "temperature": 0.7},
    "sample_weight": {"sample_weight": torch.rand(ROWS)},
    "where": {"where": torch.arange(CLASSES) != 3},
    "denominator": {"denominator": 3.0},
    "denominator on the device": {"denominator": torch.tensor(3.0), "z_loss": 0.1},
    "float32": {"dtype": "float32", "on_empty": "zero"},
    "everything": {
        "weight": torch.rand(CLASSES) + 0.5,
        "label_smoothing": 0.1,
        "z_loss": 0.1,
        "softcap": 5.0,
        "temperature": 0.7,
        "sample_weight": torch.rand(ROWS),
    },
}


def inputs(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    from crossent.backends.triton import flags

    flags.of(torch.device("cpu"), CLASSES)  # made once for all calls
    x = torch.randn(ROWS, CLASSES, generator=torch.Generator().manual_seed(1)) * 3
    return x.to(dtype), torch.tensor([1, -100, 39, 0, 7, 7])


def backward(loss: torch.Tensor, leaf: torch.Tensor, mode: Any) -> torch.Tensor:
    """The gradient for a cotangent that is on the device already; what its pass launches is counted apart."""
    g = torch.full(loss.shape, 0.5, dtype=loss.dtype)
    mode.launches.clear()
    return torch.autograd.grad(loss, leaf, g)[0]


@pytest.mark.parametrize("reduction", ["mean", pytest.param("sum", marks=pytest.mark.slow), "none"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_loss_is_four_launches_and_its_gradient_one(options, reduction):
    if "denominator" in options and reduction != "mean":
        pytest.skip("a denominator divides a mean")
    x, y = inputs()
    wanted = x.double().requires_grad_()
    wide = {
        name: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for name, v in options.items()
    }
    loss = crossent.cross_entropy(wanted, y, reduction=reduction, **{**wide, "dtype": None})
    exact = torch.autograd.grad(loss, wanted, torch.full_like(loss, 0.5))[0]
    with device() as mode:
        leaf = x.clone().requires_grad_()
        mode.launches.clear()
        value = crossent.cross_entropy(leaf, y, reduction=reduction, **options)
        assert mode.count <= 4, mode.launches
        gradient = backward(value, leaf, mode)
        assert mode.count - mode.launches["full"] <= 1, mode.launches
        mode.launches.clear()
        without = crossent.cross_entropy(x, y, reduction=reduction, **options)
        assert mode.count <= 4, mode.launches
    torch.testing.assert_close(value.detach(), loss.float(), rtol=2e-6, atol=2e-6, check_dtype=False)
    torch.testing.assert_close(without, value.detach())
    torch.testing.assert_close(gradient, exact.float(), rtol=4e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_same_in_every_dtype(dtype):
    x, y = inputs(dtype)
    with device() as mode:
        leaf = x.clone().requires_grad_()
        mode.launches.clear()
        value = crossent.cross_entropy(leaf, y)
        assert mode.count <= 4, mode.launches
        gradient = backward(value, leaf, mode)
        assert mode.count <= 2, mode.launches  # one is the cotangent's own
    exact = x.double().requires_grad_()
    torch.nn.functional.cross_entropy(exact, y).backward(torch.tensor(0.5).double())
    epsilon = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(gradient.double(), exact.grad, rtol=epsilon, atol=epsilon / 100)


@pytest.mark.parametrize("rows", [0, 1, 70_000], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_sum_over_any_number_of_rows_is_one_launch(rows, reduction, monkeypatch):
    from crossent.backends.triton import launch_reduction

    loss, weight = torch.rand(rows), torch.rand(rows)
    kept = weight != 0
    shape = torch.empty(1, 4).expand(rows, 4)
    call = crossent._door.rows.rows(
        "cross_entropy",
        shape,
        torch.zeros(rows, dtype=torch.int64),
        crossent._call.options.validated(
            "cross_entropy",
            None,
            {"sample_weight": weight, "reduction": reduction, "check": False},
            crossent._call.options.LossOptions,
        ),
    )
    with device() as mode:
        by = launch_reduction.divisor(call)
        value = launch_reduction._value(call, loss, None, by)
        assert mode.launches["triton total"] == 1
        assert mode.count <= 2, mode.launches
    wanted = loss.double().sum() / (weight.double().sum() if reduction == "mean" else 1)
    torch.testing.assert_close(value.double(), wanted, rtol=1e-6, atol=0, equal_nan=True)
    assert kept.all()


@pytest.mark.parametrize("on_empty", ["nan", "zero"])
@pytest.mark.parametrize(
    "options", [{}, {"denominator": 0.0}, {"denominator": torch.zeros(1)}, {"weight": torch.zeros(CLASSES)}]
)
def test_a_mean_over_nothing(options, on_empty):
    x, y = inputs()
    y = y if options else torch.full_like(y, -100)
    with device():
        leaf = x.clone().requires_grad_()
        value = crossent.cross_entropy(leaf, y, z_loss=0.1, on_empty=on_empty, **options)
        gradient = torch.autograd.grad(value, leaf)[0]
    if "weight" not in options:
        assert bool(value.isnan() if on_empty == "nan" else value == 0)
        assert not gradient.any()


def test_raise_is_the_one_option_that_waits():
    x, y = inputs()
    with device(), pytest.raises(HostRead):
        crossent.cross_entropy(x, y, on_empty="raise")
    with device(), pytest.MonkeyPatch.context() as patch:
        read = lambda number: float(number.detach().contiguous().data_ptr() and _read(number))  # noqa: E731
        patch.setattr("crossent.backends.triton.launch_reduction.fetched", read)
        crossent.cross_entropy(x, y, on_empty="raise")
        for empty in (torch.full_like(y, -100), y[:0]):
            with pytest.raises(crossent.errors.EmptyReductionError, match="on_empty='zero' gives 0"):
                crossent.cross_entropy(x[: len(empty)], empty, on_empty="raise")


def _read(x: torch.Tensor) -> float:
    """A number of the device, as `fetched` would give it."""
    import ctypes

    return ctypes.c_float.from_address(x.data_ptr()).value


def test_bad_targets_name_their_own_number_of_classes_and_are_noted_once():
    x, y = inputs()
    bad = y.clone()
    bad[4] = 40
    with device():
        leaf = x.clone().requires_grad_()
        loss = crossent.cross_entropy(leaf, bad, reduction="none")
        crossent.backends.triton.cross_entropy(_rows(x[:, :7].contiguous(), torch.full_like(y, 6)))  # another kernel
        with pytest.raises(crossent.errors.ClassIndexError, match=r"holds 40 at position 4, .* 40 classes \(0 … 39\)"):
            crossent.checks.synchronize()
        gradient = torch.autograd.grad(loss.sum(), leaf)[0]
        crossent.checks.synchronize()  # the backward pass notes nothing
    assert gradient.isnan().any(1).tolist() == [False] * 4 + [True, False]


def _rows(x: torch.Tensor, y: torch.Tensor) -> Any:
    options = crossent._call.options.validated("cross_entropy", None, {}, crossent._call.options.LossOptions)
    return crossent._door.rows.rows("cross_entropy", x, y, options)


def test_a_host_read_is_seen():
    with device():
        x = torch.ones(3)
        for read in (x[0].item, lambda: bool(x[0]), x.numpy, x.tolist, lambda: x[x > 0], x.nonzero):
            with pytest.raises(HostRead):
                read()
        assert torch.empty(2).isnan().shape == (2,)


def test_nothing_is_read_behind_the_last_row():
    """In a process of its own: a read of the page behind the logits ends it."""
    script = Path(__file__).with_name("guarded.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.1, "z_loss": 0.1, "weight": torch.rand(CLASSES)}], ids=["plain", "options"]
)
def test_compiled_graphs_reach_the_kernels(options, monkeypatch):
    from conftest import kernels

    x, y = inputs()
    launched: list[str] = []
    from crossent.backends import triton as room

    for name in ("cross_entropy", "cross_entropy_with_gradient"):
        own = getattr(room, name)
        monkeypatch.setattr(room, name, lambda *a, own=own, name=name, **k: (launched.append(name), own(*a, **k))[1])
    with kernels():
        monkeypatch.setattr("crossent._linear.device.GPUS", ("cpu",))
        step = torch.compile(lambda z: crossent.cross_entropy(z, y, **options), fullgraph=True, backend="aot_eager")
        ours = x.clone().requires_grad_()
        value = step(ours)
        value.backward()
    assert launched == ["cross_entropy", "cross_entropy_with_gradient"]
    theirs = x.double().requires_grad_()
    wide = {name: part.double() if isinstance(part, torch.Tensor) else part for name, part in options.items()}
    exact = crossent.cross_entropy(theirs, y, **wide)
    exact.backward()
    torch.testing.assert_close(value.double(), exact, rtol=2e-6, atol=0)
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-5, atol=1e-7)
