"""The GPU's kernels beyond the conformance suite: every way through a row, layouts, cotangents, what they note.

Without a GPU they run on the CPU through Triton's interpreter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DEVICE, kernels

import crossent
import crossent.checks
from crossent import _functions, _reduction
from crossent._call import options as call_options
from crossent._door import rows as door
from crossent.backends import agnostic

pytest.importorskip("triton")
from crossent.backends import triton as room
from crossent.backends.triton import flags, layout

WAYS = ("resident", "swept", "parts")
CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dense": {"label_smoothing": 0.1},
    "all": {"label_smoothing": 0.1, "z_loss": 0.1, "softcap": 3.0, "temperature": 0.7},
    "squares": {"z_loss": 0.1},
}


@pytest.fixture(autouse=True)
def on_kernels() -> Iterator[None]:
    with kernels():
        yield
        flags.take()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way through a row, whatever its width: in registers, in two sweeps of blocks of 64, in parts."""
    if request.param != "resident":
        monkeypatch.setattr(layout, "RESIDENT", 0)
        monkeypatch.setattr(layout, "sweep_block", lambda classes, dtype, gradient: 64)
    number = 3 if request.param == "parts" else 1
    monkeypatch.setattr(layout, "parts", lambda rows, classes, block, device: number)
    return str(request.param)


def canonical(x: torch.Tensor, target: torch.Tensor, **options: Any) -> call_options.Rows:
    weight = options.pop("weight", None)
    given = call_options.validated("cross_entropy", weight, options, call_options.LossOptions)
    return door.rows("cross_entropy", x, target, given)


def logits(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3).to(dtype)


def on_device(rows: call_options.Rows) -> call_options.Rows:
    parts = {name: part.to(DEVICE) for name, part in rows._asdict().items() if isinstance(part, torch.Tensor)}
    return rows._replace(**parts)


def assert_same(ours: Any, theirs: Any, *, tolerance: float = 1e-12) -> None:
    for one, other in zip(ours, theirs, strict=True):
        if other is None:
            assert one is None
        else:
            torch.testing.assert_close(one.cpu(), other, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("options", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("classes", [150, 256])
def test_every_way_gives_the_definition(way, classes, options):
    rows = canonical(logits(3, classes), torch.tensor([1, -100, 149]), **options)
    theirs = agnostic.cross_entropy_with_gradient(rows, _reduction.scales)
    assert_same(room.cross_entropy_with_gradient(on_device(rows), _reduction.scales), theirs)
    loss, square, state = room.cross_entropy(on_device(rows), saving=True)
    own, per_square = _reduction.scales(rows, loss.cpu())
    assert_same((loss, square, room.gradient(on_device(rows), state, own, per_square)), theirs)
    assert_same(room.moments(on_device(rows)), agnostic.moments(rows, _functions))


@pytest.mark.parametrize("options", [CALLS["plain"], CALLS["all"]], ids=["plain", "all"])
def test_every_way_with_probabilities_weights_and_a_mask(way, options):
    q = torch.softmax(logits(2, 150, seed=1), -1)
    mask = torch.arange(150) % 7 != 3
    extra = {"weight": torch.rand(150).double(), "sample_weight": torch.tensor([0.5, 2.0]).double(), "where": mask}
    rows = canonical(logits(2, 150), torch.where(mask, q, 0.0), **extra, **options, check=False)
    theirs = agnostic.cross_entropy_with_gradient(rows, _reduction.scales)
    assert_same(room.cross_entropy_with_gradient(on_device(rows), _reduction.scales), theirs)


def test_softmax_and_its_kin_of_any_width(way):
    x = logits(2, 150)
    mask = torch.arange(150) < 140
    for name in ("softmax", "log_softmax"):
        theirs = getattr(torch, name)(torch.where(mask, x, -torch.inf) / 0.7, -1)
        assert_same([getattr(room, name)(x.to(DEVICE), mask.expand(2, 150).to(DEVICE), 0.7)], [theirs])
    assert_same([room.logsumexp(x.to(DEVICE))], [torch.logsumexp(x, -1)])


@pytest.mark.parametrize("special", [torch.inf, -torch.inf, torch.nan])
def test_a_row_of_special_numbers(way, special):
    x = logits(4, 150)
    x[0, 70], x[1, :100], x[2, :], x[3, [5, 80]] = special, special, special, special
    rows = canonical(x, torch.tensor([1, 120, 3, 4]))
    theirs = agnostic.cross_entropy_with_gradient(rows, _reduction.scales)
    assert_same(room.cross_entropy_with_gradient(on_device(rows), _reduction.scales), theirs)
    assert_same(room.moments(on_device(rows)), agnostic.moments(rows, _functions))


def test_a_confident_row_keeps_its_digits(way):
    x = torch.zeros(2, 150, dtype=torch.float32)
    x[0, 3], x[1, 100] = 30.0, 17.0
    rows = canonical(x, torch.tensor([3, 100]))
    exact = agnostic.cross_entropy_with_gradient(
        rows._replace(x=x.double(), sum_dtype=torch.float64), _reduction.scales
    )
    ours = room.cross_entropy_with_gradient(on_device(rows), _reduction.scales)
    assert exact[0][0] < 1e-10
    for one, other in zip(ours[::2], exact[::2], strict=True):
        torch.testing.assert_close(one.cpu().double(), other, rtol=1e-5, atol=0)


def strided() -> list[torch.Tensor]:
    """Rows behind one another, cut out, of two loops, of three, transposed, expanded, unaligned."""
    x = logits(4, 5, 40, dtype=torch.float32)
    some = [x, x[:, :-1], x[::2, :, 3:33], x[:, 1:, :-1], x.movedim(1, -1), x[:1].expand(3, 5, 40)]
    return [*some, logits(2, 3, 4, 10)[:, ::2, 1:], x[0, 0], x[:0]]


@pytest.mark.parametrize("x", strided(), ids=range(len(strided())))
def test_layouts(x):
    target = torch.zeros(x.shape[:-1], dtype=torch.int64)
    rows = canonical(x, target, axis=-1, check=False)
    theirs = agnostic.cross_entropy_with_gradient(rows, _reduction.scales)
    ours = room.cross_entropy_with_gradient(rows._replace(x=x.to(DEVICE), y=target.to(DEVICE)), _reduction.scales)
    assert_same(ours, theirs, tolerance=1e-6)
    assert_same([room.softmax(x.to(DEVICE))], [torch.softmax(x, -1)], tolerance=1e-6)


def test_strides_are_taken_without_a_copy():
    x = torch.empty(4, 6, 8)
    assert layout.strides(x) == (None, 0, 8)
    assert layout.strides(x[:, :-1]) == (5, 48, 8)
    assert layout.strides(x[..., ::2]) is None
    assert layout.strides(torch.empty(2, 3, 4, 8)[:, ::2, ::2]) is None
    assert layout.as_rows(x[:, :-1])[0].data_ptr() == x.data_ptr()
    assert layout.alignment(8, (x, (48, 8))) == 4
    assert layout.alignment(8, (x[..., 1:], (48, 8))) == 1
    assert layout.alignment(1000, (x.bfloat16(), (1000, 1000))) == 8


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_cotangents_of_any_stride_are_read_on_the_device(reduction, dtype):
    x, target = logits(4, 10, dtype=dtype).to(DEVICE), torch.tensor([1, -100, 3, 9], device=DEVICE)
    cotangents = [torch.tensor(1.0), torch.tensor(-0.5)]
    if reduction == "none":
        cotangents = [torch.tensor(0.5).expand(4), torch.arange(8.0)[::2], torch.arange(4.0)]
    for g in cotangents:
        ours, theirs = (z.detach().clone().requires_grad_() for z in (x, x.double()))
        crossent.cross_entropy(ours, target, reduction=reduction, z_loss=0.1).backward(g.to(DEVICE, dtype))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("crossent._torch.ways.DEVICES", ())
            loss = crossent.cross_entropy(theirs, target, reduction=reduction, z_loss=0.1)
        loss.backward(g.to(DEVICE).double())
        epsilon = 2 * torch.finfo(dtype).eps
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=epsilon, atol=epsilon)


def test_half_precision_keeps_gradients_that_a_loss_scale_saves():
    x = torch.zeros(1, 8, dtype=torch.float16, device=DEVICE, requires_grad=True)
    loss = crossent.cross_entropy(x, torch.tensor([0], device=DEVICE), denominator=1e8)
    (loss.float() * 2.0**20).backward()
    assert x.grad.abs().min() > 0


def test_the_kept_gradient_is_handed_over_once_and_copied_otherwise():
    x, target = logits(3, 8, dtype=torch.float32).to(DEVICE).requires_grad_(), torch.tensor([1, 2, 3], device=DEVICE)
    loss = crossent.cross_entropy(x, target)
    first, second = (torch.autograd.grad(loss, x, torch.tensor(2.0, device=DEVICE), retain_graph=True)[0] for _ in "ab")
    third = torch.autograd.grad(loss, x)[0]
    assert torch.equal(first, second)
    assert torch.equal(first, 2 * third)
    assert first.data_ptr() != second.data_ptr()


def test_in_place_the_kernel_writes_over_the_logits(way):
    x, target = logits(3, 150, dtype=torch.float32), torch.tensor([1, -100, 3])
    _, expected = crossent.cross_entropy_with_grad(x.numpy(), target.numpy())
    mine = x.clone().to(DEVICE)
    kept, version = mine.data_ptr(), mine._version
    _, gradient = crossent.cross_entropy_with_grad(mine, target.to(DEVICE), inplace=True)
    assert gradient is mine
    assert mine.data_ptr() == kept
    assert mine._version > version
    np.testing.assert_allclose(mine.cpu(), expected, rtol=1e-5, atol=1e-7)
    leaf = x.clone().to(DEVICE).requires_grad_()
    above = leaf * 1
    loss = crossent.cross_entropy(above, target.to(DEVICE), inplace=True)
    loss.backward()
    np.testing.assert_allclose(leaf.grad.cpu(), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(above.detach().cpu(), expected, rtol=1e-5, atol=1e-7)


def test_transforms_and_second_derivatives_go_through_the_definition():
    x, target = logits(3, 6), torch.tensor([1, -100, 3])
    x, target = x.to(DEVICE), target.to(DEVICE)
    for reduction in ("mean", "none"):

        def loss(z, reduction=reduction):
            return crossent.cross_entropy(z, target, reduction=reduction, z_loss=0.1).sum()

        ours = torch.autograd.functional.hessian(loss, x)
        torch.testing.assert_close(ours, torch.func.hessian(loss)(x))
        assert torch.autograd.gradcheck(loss, x.clone().requires_grad_())
        tangent = torch.func.jvp(loss, (x,), (torch.ones_like(x),))[1]
        torch.testing.assert_close(tangent, torch.func.grad(loss)(x).sum())


def test_a_weight_that_requires_grad_goes_through_the_definition():
    weight = torch.rand(6, device=DEVICE).requires_grad_()
    crossent.cross_entropy(logits(3, 6).float().to(DEVICE), torch.tensor([1, 2, 3], device=DEVICE), weight).backward()
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("value", [7, -3, 2**40])
def test_a_target_that_is_no_class_is_nan_noted_and_raised_later(way, value):
    rows = on_device(canonical(logits(3, 6), torch.tensor([1, 2, 3])))
    rows = rows._replace(y=torch.tensor([1, value, 3], device=DEVICE), known=False)
    loss, _, gradient = room.cross_entropy_with_gradient(rows, _reduction.scales)
    assert loss.isnan().tolist() == [False, True, False]
    assert gradient.isnan().any(1).tolist() == [False, True, False]
    shown = min(value, 2**31 - 1)
    with pytest.raises(
        crossent.errors.ClassIndexError, match=rf"target holds {shown} at position 1, .* 6 classes \(0 … 5\)"
    ):
        crossent.checks.synchronize()
    crossent.checks.synchronize()  # once
    room.cross_entropy(rows)
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    with pytest.raises(crossent.errors.ClassIndexError, match=re.escape(f"in an earlier call on {rows.y.device}")):
        crossent.cross_entropy(logits(3, 6).to(DEVICE), torch.tensor([1, 2, 3], device=DEVICE))


def test_binary_weights_that_repeat_or_broadcast_otherwise():
    x, y = logits(2, 3, 4).to(DEVICE), torch.ones(2, 3, 4, device=DEVICE).double()
    for shape in ((), (1,), (4,), (3, 4), (2, 1, 4), (2, 3, 1)):
        weight = torch.rand(shape, device=DEVICE).double()
        given = {"pos_weight": weight, "reduction": "none"}
        ours = crossent.binary_cross_entropy_with_logits(x, y, weight, **given)
        theirs = torch.nn.functional.binary_cross_entropy_with_logits(x, y, weight.expand(2, 3, 4), **given)
        torch.testing.assert_close(ours, theirs)


def test_the_same_bits(way):
    rows = on_device(canonical(logits(3, 150, dtype=torch.float32), torch.tensor([1, -100, 3])))
    one, two = (room.cross_entropy_with_gradient(rows, _reduction.scales) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[2], two[2])


def test_few_wide_rows_are_cut_into_parts():
    device = torch.device("cpu")
    assert layout.parts(8192, 128256, 8192, device) == 1
    assert layout.parts(4, 128256, 8192, device) == 16
    assert layout.parts(64, 1000, 1024, device) == 1


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
def test_a_cuda_graph_captures_a_step():
    x, target = torch.randn(64, 1000, device=DEVICE, requires_grad=True), torch.randint(0, 1000, (64,), device=DEVICE)
    for _ in range(3):
        x.grad = None
        crossent.cross_entropy(x, target).backward()
    expected, graph = x.grad.clone(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gradient = torch.autograd.grad(crossent.cross_entropy(x, target), x)[0]
    graph.replay()
    torch.testing.assert_close(gradient, expected)
