"""Classes sharded over processes (gloo): each option against the loss on all classes, one exchange, and no hang."""

from __future__ import annotations

import datetime
import json
import os
import signal
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed import distributed_c10d

import crossent
from crossent.distributed import (
    vocab_parallel_cross_entropy,
    vocab_parallel_linear_cross_entropy,
    vocab_parallel_row_stats,
)

ROWS, CLASSES, FEATURES = 7, 13, 5
SIZES = {1: [13], 2: [5, 8], 3: [2, 7, 4], 4: [1, 5, 4, 3]}
KINDS = ("all_", "reduce", "broadcast", "gather", "scatter", "barrier")
COLLECTIVES = [name for name in dir(distributed) if name.startswith(KINDS)]
GATHER = "all_gather_single" if hasattr(distributed, "all_gather_single") else "all_gather_into_tensor"


def data(dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """The whole call, the same in every process."""
    make = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=make, dtype=torch.float64)

    x = (3 * normal(ROWS, CLASSES)).to(dtype)
    x[1, 4] = x[2, 3] = x[2, 12] = -torch.inf
    y = torch.tensor([0, 12, 5, -100, 6, 1, 9])
    return {
        "x": x,
        "y": y,
        "q": torch.softmax(normal(ROWS, CLASSES), -1).to(dtype),
        "weight": (normal(CLASSES).abs() + 0.1).to(dtype),
        "sample_weight": torch.tensor([1.0, 0.5, 2.0, 3.0, 0.0, 1.5, 1.0]).to(dtype),
        "where": torch.arange(CLASSES) % 5 != 3,
        "features": normal(ROWS, FEATURES).to(dtype),
        "kernel": normal(CLASSES, FEATURES).to(dtype),
        "bias": normal(CLASSES).to(dtype),
    }


SHARDED = ("weight", "where", "linear_bias")
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "smoothing": {"label_smoothing": 0.1},
    "weight": {"weight": "weight"},
    "weight+smoothing": {"weight": "weight", "label_smoothing": 0.2},
    "where": {"where": "where"},
    "where+smoothing": {"where": "where", "label_smoothing": 0.3},
    "sample_weight": {"sample_weight": "sample_weight"},
    "weights": {"sample_weight": "sample_weight", "weight": "weight", "z_loss": 0.1},
    "z_loss": {"z_loss": 0.01, "reduction": "none"},
    "softcap": {"softcap": 2.0},
    "temperature": {"temperature": 0.7, "z_loss": 0.01},
    "logit_scale": {"logit_scale": 0.3, "softcap": 4.0},
    "denominator": {"denominator": 11.0},
    "ignore_index": {"ignore_index": 12},
    "all": {
        "weight": "weight",
        "sample_weight": "sample_weight",
        "where": "where",
        "label_smoothing": 0.1,
        "z_loss": 0.1,
        "softcap": 5.0,
        "temperature": 1.5,
    },
}


def columns(rank: int, world: int) -> slice:
    """The classes of a rank."""
    first = sum(SIZES[world][:rank])
    return slice(first, first + SIZES[world][rank])


def chosen(name: str, whole: dict[str, Any], here: slice) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options on all classes, on this rank's)."""
    named = {k: whole.get(v, v) if isinstance(v, str) else v for k, v in OPTIONS[name].items()}
    return named, {k: v[here] if k in SHARDED else v for k, v in named.items()}


def labels(name: str, whole: dict[str, Any]) -> torch.Tensor:
    """Class indices that exist under the options."""
    y = whole["y"].clone()
    if name == "ignore_index":
        y[y == -100] = 12
    if "where" in OPTIONS[name]:
        y = torch.where((y % 5 == 3), y - 1, y)
        y[3] = -100
    return y


class Counted:
    """The collectives that are called inside."""

    def __enter__(self) -> Counted:
        self.calls: list[str] = []
        self.saved = {name: getattr(distributed, name) for name in COLLECTIVES if callable(getattr(distributed, name))}
        for name, function in self.saved.items():
            setattr(distributed, name, self.counting(name, function))
        return self

    def counting(self, name: str, function: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            self.calls.append(name)
            return function(*given, **named)

        return call

    def __exit__(self, *_: object) -> None:
        for name, function in self.saved.items():
            setattr(distributed, name, function)


def same_everywhere(value: torch.Tensor) -> None:
    """Bit for bit the same number on every rank."""
    every: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(every, value.detach().reshape(-1).view(torch.uint8).tolist())
    assert all(one == every[0] for one in every)


def compare(rank: int, world: int, name: str, dtype: torch.dtype, dense: bool) -> None:
    """A loss and its gradient against the loss on all the classes in float64."""
    whole, here = data(dtype), columns(rank, world)
    options, own = chosen(name, whole, here)
    if dense and name == "ignore_index":
        return
    x = whole["x"].double().clone().requires_grad_()
    target = whole["q"] if dense else labels(name, whole)
    if dense:
        target = torch.where(whole["x"] == -torch.inf, 0, target)
        target = target * options["where"] if "where" in options else target
        options = {**options, "check": False}
        own = {**own, "check": False}
    wide = {k: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in options.items()}
    expected = crossent.cross_entropy(x, target.double() if dense else target, **wide)
    upstream = torch.linspace(0.5, 2, expected.numel(), dtype=torch.float64).reshape(expected.shape)
    expected.backward(upstream)
    shard = whole["x"][:, here].clone().requires_grad_()
    with Counted() as forward:
        value = vocab_parallel_cross_entropy(shard, target[:, here] if dense else target, **own)
    with Counted() as backward:
        value.backward(upstream.to(value.dtype))
    assert (forward.calls, backward.calls) == ([GATHER], [])
    assert value.dtype == shard.grad.dtype == dtype
    narrow = dtype == torch.float32
    kind = {"rtol": 1e-6, "atol": 0} if narrow else {"rtol": 1e-13, "atol": 1e-15}
    torch.testing.assert_close(value.double(), expected.detach(), **kind)
    kind = {"rtol": 1e-6, "atol": 2e-7} if narrow else {"rtol": 1e-12, "atol": 1e-15}
    torch.testing.assert_close(shard.grad.double(), x.grad[:, here], **kind)
    same_everywhere(value)


def trap_20(rank: int, world: int) -> None:
    """Smoothing over the classes of all, class weights beside an ignored target, a target in the padding, p → 0."""
    whole, here = data(), columns(rank, world)
    padded = torch.nn.functional.pad(whole["x"][:, here], (0, 4 * (rank == world - 1)), value=50.0)
    weight = torch.nn.functional.pad(whole["weight"][here], (0, 4 * (rank == world - 1)))
    for options in ({"label_smoothing": 0.1}, {"weight": "weight"}, {"weight": "weight", "label_smoothing": 0.1}):
        x, shard = whole["x"].clone().requires_grad_(), padded.clone().requires_grad_()
        own = {**options, "weight": weight} if "weight" in options else options
        expected = crossent.cross_entropy(x, whole["y"], **{k: whole.get(v, v) for k, v in options.items()})
        expected.backward()
        value = vocab_parallel_cross_entropy(shard, whole["y"], valid_classes=CLASSES, **own)
        value.backward()
        torch.testing.assert_close(value, expected.detach())
        torch.testing.assert_close(shard.grad[:, : here.stop - here.start], x.grad[:, here])
        assert (shard.grad[:, here.stop - here.start :] == 0).all()
        same_everywhere(value)
    with pytest.raises(IndexError, match="target holds 14"):
        vocab_parallel_cross_entropy(padded, torch.full_like(whole["y"], 14), valid_classes=CLASSES)
    far = torch.zeros(1, CLASSES)
    far[0, 0] = 1000.0  # the class on the last rank has p = 0 in every dtype, and a loss of 1000
    assert vocab_parallel_cross_entropy(far[:, here], torch.tensor([CLASSES - 1])) == 1000


def statistics(rank: int, world: int) -> None:
    """What each row tells over all classes, and the gradient of each part; one exchange."""
    whole, here = data(), columns(rank, world)
    for name in ("plain", "weight+smoothing", "temperature", "all", "where"):
        options, own = chosen(name, whole, here)
        for target in (labels(name, whole), None):
            x, shard = whole["x"].clone().requires_grad_(), whole["x"][:, here].clone().requires_grad_()
            expected = crossent.row_stats(x, target, **options)
            with Counted() as forward:
                got = vocab_parallel_row_stats(shard, target, **own)
            assert forward.calls == [GATHER]
            assert torch.equal(got.prediction, expected.prediction)
            for part, other in zip(got, expected, strict=True):
                assert (part is None) == (other is None)
                if part is None or not part.is_floating_point():
                    continue
                torch.testing.assert_close(part, other, rtol=1e-12, atol=1e-14)
                upstream = torch.linspace(0.5, 2, ROWS, dtype=torch.float64)
                (by_x,) = torch.autograd.grad(other, x, upstream, retain_graph=True)
                (by_shard,) = torch.autograd.grad(part, shard, upstream, retain_graph=True)
                torch.testing.assert_close(by_shard, by_x[:, here], rtol=1e-11, atol=1e-14)
                same_everywhere(part)


def kernels(rank: int, world: int) -> None:
    """The C++ kernels on columns of one block and of many, in three dtypes; confident rows, −∞, ignored rows."""
    make = torch.Generator().manual_seed(5)
    for each, dtype, options in (
        (60, torch.float32, {}),
        (60, torch.float32, {"temperature": 0.5, "z_loss": 0.1}),
        (5000, torch.float32, {"label_smoothing": 0.1}),
        (2500, torch.bfloat16, {"softcap": 20.0}),
        (2500, torch.float64, {"z_loss": 0.1, "reduction": "sum"}),
    ):
        classes = each * world + 7
        x = (4 * torch.randn(6, classes, generator=make, dtype=torch.float64) + 1e3).to(dtype)
        y = torch.randint(0, classes, (6,), generator=make)
        x[1, y[1]] += 90
        x[2, ::3], x[2, y[2]] = -torch.inf, 1e3
        x[3], y[3] = torch.nan, -100
        x[4, :each] = -torch.inf if "label_smoothing" not in options else 0
        y[4] = classes - 1
        whole = x.double().clone().requires_grad_()
        expected = crossent.cross_entropy(whole, y, check=False, **options)
        expected.backward()
        here = slice(each * rank, each * (rank + 1) + 7 * (rank == world - 1))
        shard = x[:, here].clone().requires_grad_()
        value = vocab_parallel_cross_entropy(shard, y, **options)
        value.backward()
        rough = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 1e-2}[dtype]
        torch.testing.assert_close(value.double(), expected.detach(), rtol=rough, atol=0)
        apart = 1e-6 if "label_smoothing" in options else 1e-9  # where p is near ε/C, the rounding of both shows
        torch.testing.assert_close(shard.grad.double(), whole.grad[:, here], rtol=3 * rough, atol=rough * apart)
        same_everywhere(value)


def nothing_here(rank: int, world: int) -> None:
    """A rank that has no class at all, and a call without a row."""
    whole, valid = data(), SIZES[world][0]
    x = whole["x"][:, :valid]
    y = whole["y"] % valid
    expected = crossent.cross_entropy(x, y, label_smoothing=0.2)
    own = whole["x"][:, columns(rank, world)].clone().requires_grad_()
    got = vocab_parallel_cross_entropy(own, y, valid_classes=valid, label_smoothing=0.2)
    torch.testing.assert_close(got, expected)
    got.backward()
    assert bool((own.grad == 0).all()) == (rank > 0)
    here = columns(rank, world)
    x, kernel = whole["features"], whole["kernel"]
    got = vocab_parallel_linear_cross_entropy(x, kernel[here], y, valid_classes=valid)
    torch.testing.assert_close(got, crossent.linear_cross_entropy(x, kernel[:valid], y, check=False))
    empty = vocab_parallel_linear_cross_entropy(x[:0], kernel[here], y[:0], reduction="sum")
    assert empty == 0
    assert vocab_parallel_cross_entropy(own[:0], y[:0], reduction="none").shape == (0,)


def chunked(rank: int, world: int) -> None:
    """The layer in chunks of a few rows, and with its logits kept: the same numbers; ignored NaN rows reach nothing."""
    whole, here, make = data(), columns(rank, world), torch.Generator().manual_seed(3)
    features = torch.randn(2, 9, FEATURES, generator=make, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (2, 9), generator=make)
    y[0, 3] = y[1, 8] = -100
    features[0, 3] = torch.nan
    for more in (
        {},
        {"softcap": 2.0, "z_loss": 0.1, "reduction": "sum"},
        {"reduction": "none", "label_smoothing": 0.1},
    ):
        parts = [p.clone().requires_grad_() for p in (features, whole["kernel"], whole["bias"])]
        expected = crossent.linear_cross_entropy(parts[0], parts[1], y, linear_bias=parts[2], check=False, **more)
        upstream = torch.linspace(0.5, 2, expected.numel(), dtype=torch.float64).reshape(expected.shape)
        expected.backward(upstream)
        for how in ({"chunk_size": 2}, {"recompute": False}):
            if how == {"recompute": False}:
                features = torch.nan_to_num(features)
            x, kernel, bias = (
                p.clone().requires_grad_() for p in (features, whole["kernel"][here], whole["bias"][here])
            )
            loss = vocab_parallel_linear_cross_entropy(x, kernel, y, linear_bias=bias, **how, **more)
            loss.backward(upstream)
            torch.testing.assert_close(loss, expected.detach())
            for got, wanted in (
                (x.grad, parts[0].grad),
                (kernel.grad, parts[1].grad[here]),
                (bias.grad, parts[2].grad[here]),
            ):
                torch.testing.assert_close(got, wanted)
        features[0, 3] = torch.nan
    half = [p.bfloat16().requires_grad_() for p in (torch.nan_to_num(features), whole["kernel"][here])]
    vocab_parallel_linear_cross_entropy(*half, y).backward()
    whole_half = [p.bfloat16().double().requires_grad_() for p in (torch.nan_to_num(features), whole["kernel"])]
    crossent.linear_cross_entropy(*whole_half, y, check=False).backward()
    torch.testing.assert_close(half[0].grad.double(), whole_half[0].grad, rtol=0.02, atol=5e-4)
    torch.testing.assert_close(half[1].grad.double(), whole_half[1].grad[here], rtol=0.02, atol=5e-4)


def confident(rank: int, world: int) -> None:
    """p → 1 and an offset of 1e6: relative accuracy of the loss and of the gradient."""
    here = columns(rank, world)
    for offset in (0.0, 1e6):
        x = torch.zeros(CLASSES, CLASSES) + offset
        x += 40 * torch.eye(CLASSES)
        y = torch.arange(CLASSES)
        whole = x.double().requires_grad_()
        crossent.cross_entropy(whole, y, reduction="sum").backward()
        expected = crossent.cross_entropy(x.double(), y, reduction="none")
        assert 0 < expected[0] < 1e-15
        shard = x[:, here].clone().requires_grad_()
        loss = vocab_parallel_cross_entropy(shard, y, reduction="none")
        torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
        loss.sum().backward()
        torch.testing.assert_close(shard.grad.double(), whole.grad[:, here], rtol=1e-6, atol=0)


def shapes(rank: int, world: int) -> None:
    """Images, class-last data, sixteen bits, a row of −∞ alone, an ignored row of NaN, an empty mean."""
    here, make = columns(rank, world), torch.Generator().manual_seed(2)
    x = torch.randn(2, CLASSES, 3, generator=make, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (2, 3), generator=make)
    expected = crossent.cross_entropy(x, y)
    torch.testing.assert_close(vocab_parallel_cross_entropy(x[:, here], y), expected)
    torch.testing.assert_close(vocab_parallel_cross_entropy(x.movedim(1, -1)[..., here], y, axis=-1), expected)
    half = x.bfloat16()
    wanted = crossent.cross_entropy(half.double(), y).bfloat16()
    assert torch.equal(vocab_parallel_cross_entropy(half[:, here], y), wanted)
    x[0, :, 0] = -torch.inf
    got = vocab_parallel_cross_entropy(x[:, here], y, reduction="none")
    torch.testing.assert_close(got, crossent.cross_entropy(x, y, reduction="none"), equal_nan=True)
    x[0, :, 0], y[0, 0] = torch.nan, -100
    shard = x[:, here].clone().requires_grad_()
    loss = vocab_parallel_cross_entropy(shard, y)
    torch.testing.assert_close(loss, crossent.cross_entropy(x, y))
    loss.backward()
    assert torch.isfinite(shard.grad).all()
    nothing = torch.full_like(y, -100)
    assert vocab_parallel_cross_entropy(x[:, here], nothing).isnan()
    assert vocab_parallel_cross_entropy(x[:, here], nothing, on_empty="zero") == 0


def padding(rank: int, world: int) -> None:
    """Padded columns never count, whether behind all classes or behind this rank's own."""
    whole, here = data(), columns(rank, world)
    expected = crossent.cross_entropy(whole["x"], whole["y"], label_smoothing=0.1)
    last = rank == world - 1
    padded = torch.nn.functional.pad(whole["x"][:, here], (0, 3 * last), value=1e3)
    got = vocab_parallel_cross_entropy(padded, whole["y"], valid_classes=CLASSES, label_smoothing=0.1)
    torch.testing.assert_close(got, expected)
    got = vocab_parallel_cross_entropy(whole["x"][:, here], whole["y"], vocab_start=here.start, label_smoothing=0.1)
    torch.testing.assert_close(got, expected)
    turned = columns(world - 1 - rank, world)  # the ranks' order is not that of the classes
    own = whole["x"][:, turned]
    torch.testing.assert_close(vocab_parallel_cross_entropy(own, whole["y"], vocab_start=turned.start), whole_loss())
    with pytest.raises(crossent.errors.ClassIndexError, match="there are 13 classes"):
        vocab_parallel_cross_entropy(padded, whole["y"] + (whole["y"] == 12), valid_classes=CLASSES)
    with pytest.raises(crossent.errors.OptionError, match=r"on no rank|on two ranks"):
        vocab_parallel_cross_entropy(own, whole["y"], vocab_start=2 * rank * rank + rank // 2)
    torch.testing.assert_close(vocab_parallel_cross_entropy(whole["x"][:, here], whole["y"]), whole_loss())


def whole_loss() -> torch.Tensor:
    """The plain loss on all classes."""
    whole = data()
    return crossent.cross_entropy(whole["x"], whole["y"])


def refusals(rank: int, world: int) -> None:
    """Class indices of no rank, on every rank; then all goes on."""
    whole, here = data(), columns(rank, world)
    x = whole["x"][:, here]
    for value in (13, -1, 10**9):
        y = whole["y"].clone()
        y[4] = value
        with Counted() as counted, pytest.raises(IndexError, match=f"target holds {value}"):
            vocab_parallel_cross_entropy(x, y)
        assert len(counted.calls) == 1
    y = whole["y"].clone()
    y[4] = 13 if rank == 1 else 6
    with pytest.raises(crossent.errors.ClassIndexError):
        vocab_parallel_cross_entropy(x, y)
    torch.testing.assert_close(vocab_parallel_cross_entropy(x, whole["y"]), whole_loss())
    if world == 2:  # a rank that comes late to a refused call is not out of step
        time.sleep(6 * rank)
        with pytest.raises(crossent.errors.OptionError if rank == 0 else crossent.errors.RankError, match="softcap"):
            vocab_parallel_cross_entropy(x, whole["y"], softcap=-1.0 if rank == 0 else None)
        torch.testing.assert_close(vocab_parallel_cross_entropy(x, whole["y"]), whole_loss())
    with pytest.raises(crossent.errors.RankError, match="denominator of rank"):
        vocab_parallel_cross_entropy(x, whole["y"], denominator=7.0 + (rank == world - 1))
    with pytest.raises(crossent.errors.OptionError, match=r"poly1_epsilon=1\.0 is not yet known here"):
        vocab_parallel_cross_entropy(x, whole["y"], poly1_epsilon=1.0)
    for more in ({"extra": True}, {"top_k": 2}):
        with pytest.raises(crossent.errors.OptionError, match=r"use crossent\.row_stats"):
            vocab_parallel_row_stats(x, whole["y"], **more)
    with pytest.raises(crossent.errors.OptionError, match="requires grad"):
        vocab_parallel_cross_entropy(x, whole["y"], torch.ones(x.shape[1], requires_grad=True))
    with pytest.raises(crossent.errors.OptionError, match="ProcessGroup"):
        vocab_parallel_cross_entropy(x, whole["y"], group="model")
    torch.testing.assert_close(vocab_parallel_cross_entropy(x, whole["y"]), whole_loss())


def disagreements(rank: int, world: int) -> None:
    """Other rows, options, targets or a refused call on one rank: an error that says so on each of them."""
    whole, here = data(), columns(rank, world)
    x, y, odd = whole["x"][:, here].contiguous(), whole["y"], rank == world - 1
    error, shape = crossent.errors.RankError, crossent.errors.ShapeError
    calls: dict[str, Any] = {
        "the shape of the rows": lambda: (x[:4], y[:4]) if odd else (x, y),
        "label_smoothing": lambda: {"label_smoothing": 0.1} if odd else (x, y),
        "dtype of input": lambda: (x.float(), y) if odd else (x, y),
        "is not that of rank 0": lambda: (x, torch.where(y == 0, 1, y)) if odd else (x, y),
        "target has shape": lambda: (x, y[:3]) if odd else (x, y),
    }
    for before in (False, True):  # at the first call of a group, and after one that all made alike
        for match, call in calls.items():
            group = distributed.new_group()
            if before:
                vocab_parallel_cross_entropy(x, y, group=group)
            given = call()
            given, named = ((x, y), given) if isinstance(given, dict) else (given, {})
            with pytest.raises(shape if odd and "target has" in match else error, match=match):
                vocab_parallel_cross_entropy(*given, group=group, **named)
    torch.testing.assert_close(vocab_parallel_cross_entropy(x, y), whole_loss())


def linear(rank: int, world: int) -> None:
    """The layer: loss, and the derivatives by input, weight and bias; one exchange each way."""
    whole, here = data(), columns(rank, world)
    for name, options in {"plain": {}, "shift": {"shift": 2}, "more": {"label_smoothing": 0.1, "softcap": 3.0}}.items():
        parts = [whole[k].clone().requires_grad_() for k in ("features", "kernel", "bias")]
        expected = crossent.linear_cross_entropy(
            parts[0], parts[1], whole["y"], linear_bias=parts[2], check=False, **options
        )
        expected.backward()
        x = whole["features"].clone().requires_grad_()
        kernel, bias = (whole[k][here].clone().requires_grad_() for k in ("kernel", "bias"))
        with Counted() as forward:
            loss = vocab_parallel_linear_cross_entropy(x, kernel, whole["y"], linear_bias=bias, **options)
        with Counted() as backward:
            loss.backward()
        assert (len(forward.calls), backward.calls) == (1, ["all_reduce"]), name
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(x.grad, parts[0].grad)
        torch.testing.assert_close(kernel.grad, parts[1].grad[here])
        torch.testing.assert_close(bias.grad, parts[2].grad[here])
        same_everywhere(loss)
    _input_gradients(rank, world, whole, here)


def _input_gradients(rank: int, world: int, whole: dict[str, Any], here: slice) -> None:
    """input_grad: this rank's part of the sum, and the sum for this rank's share of the rows."""
    n = 2 * world
    features, y = whole["features"].repeat(3, 1)[:n], whole["y"].repeat(3)[:n]
    x = features.clone().requires_grad_()
    expected = crossent.linear_cross_entropy(x, whole["kernel"], y)
    expected.backward()
    part = features.clone().requires_grad_()
    vocab_parallel_linear_cross_entropy(part, whole["kernel"][here], y, input_grad="local").backward()
    total = part.grad.clone()
    distributed.all_reduce(total)
    torch.testing.assert_close(total, x.grad)
    rows = slice(2 * rank, 2 * rank + 2)
    share = features[rows].clone().requires_grad_()
    loss = vocab_parallel_linear_cross_entropy(share, whole["kernel"][here], y, input_grad="reduce_scatter")
    with Counted() as backward:
        loss.backward()
    assert [name[:14] for name in backward.calls] == ["reduce_scatter"]
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(share.grad, x.grad[rows])
    for name, value in {"input_grad": "sum", "return_stats": True}.items():
        with pytest.raises(crossent.errors.OptionError, match=name):
            vocab_parallel_linear_cross_entropy(features, whole["kernel"][here], y, **{name: value})


def groups(rank: int, world: int) -> None:
    """A group of this rank alone, and a mean over ranks with other rows."""
    whole = data()
    alone = [distributed.new_group([k]) for k in range(world)][rank]
    rows = slice(0, 3) if rank == 0 else slice(3, 7) if rank == 1 else slice(0, 0)
    options = {"weight": whole["weight"], "z_loss": 0.1}
    share = vocab_parallel_cross_entropy(
        whole["x"][rows], whole["y"][rows], group=alone, denominator_group=distributed.group.WORLD, **options
    )
    total = share.clone()
    distributed.all_reduce(total)
    torch.testing.assert_close(total, crossent.cross_entropy(whole["x"], whole["y"], **options))
    with pytest.raises(crossent.errors.OptionError, match="denominator_group"):
        vocab_parallel_cross_entropy(
            whole["x"], whole["y"], group=alone, denominator_group=distributed.group.WORLD, reduction="sum"
        )


def words(rank: int, world: int) -> None:
    """16 bytes a row travel from each rank in float32, and 24 more for the call."""
    sent: list[int] = []
    function = getattr(distributed, GATHER)

    def counting(every: torch.Tensor, mine: torch.Tensor, **named: Any) -> Any:
        sent.append(mine.numel() * mine.element_size())
        return function(every, mine, **named)

    setattr(distributed, GATHER, counting)
    vocab_parallel_cross_entropy(data(torch.float32)["x"][:, columns(rank, world)], data()["y"])
    setattr(distributed, GATHER, function)
    assert sent == [16 * (ROWS + 1)]


CASES: dict[str, Any] = {
    f"{name} {kind} {'q' if dense else 'y'}": (compare, name, getattr(torch, kind), dense)
    for name in OPTIONS
    for kind in ("float64", "float32")
    for dense in (False, True)
    if kind == "float64" or not dense
}
CASES |= {
    f.__name__: (f,)
    for f in (
        trap_20,
        statistics,
        kernels,
        nothing_here,
        chunked,
        confident,
        shapes,
        padding,
        refusals,
        disagreements,
        linear,
        groups,
        words,
    )
}


def start(rank: int, world: int, folder: str, seconds: int = 20) -> None:
    """Join the group of all processes; a file is the meeting point, so that no port is chosen."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=seconds),
    )


def work(rank: int, world: int, folder: str) -> None:
    """One process: all cases, with what went wrong in each."""
    start(rank, world, folder)
    wrong = {}
    for name, (function, *given) in CASES.items():
        try:
            function(rank, world, *given)
        except BaseException:
            wrong[name] = traceback.format_exc()
    Path(folder, f"{rank}.json").write_text(json.dumps(wrong))


@pytest.fixture(scope="module", params=[2, 3, pytest.param(4, marks=pytest.mark.slow)])
def wrong(request: Any, tmp_path_factory: Any) -> dict[str, str]:
    """What went wrong in the cases, on any rank."""
    folder, world = tmp_path_factory.mktemp("ranks"), request.param
    torch.multiprocessing.spawn(work, (world, str(folder)), nprocs=world)
    found: dict[str, str] = {}
    for rank in range(world):
        for name, text in json.loads((folder / f"{rank}.json").read_text()).items():
            found[name] = found.get(name, "") + f"rank {rank}: {text}"
    return found


@pytest.mark.parametrize("name", CASES)
def test_sharded_classes(name: str, wrong: dict[str, str]) -> None:
    assert not wrong.get(name), wrong[name]


def killed(rank: int, folder: str) -> None:
    """Rank 1 dies in the middle; the others end with an error that says so."""
    start(rank, 3, folder)
    whole, here = data(), columns(rank, 3)
    for call in range(3):
        if call == 2 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            vocab_parallel_cross_entropy(whole["x"][:, here], whole["y"])
        except crossent.errors.RankError as error:
            Path(folder, f"{rank}.txt").write_text(str(error))
            os._exit(0)


def test_a_rank_that_dies_ends_the_others_with_an_error(tmp_path: Path) -> None:
    context = torch.multiprocessing.get_context("spawn")
    processes = [context.Process(target=killed, args=(rank, str(tmp_path))) for rank in range(3)]
    for process in processes:
        process.start()
    try:
        processes[1].join(120)
        for process in processes:
            process.join(30)
        assert [process.exitcode for process in processes] == [0, -signal.SIGKILL, 0]
    finally:
        for process in processes:
            process.kill()
            process.join()
    for rank in (0, 2):
        assert "a rank of the group has left" in (tmp_path / f"{rank}.txt").read_text()


def test_without_a_process_group() -> None:
    if distributed_c10d.is_initialized():
        pytest.skip("a group is up")
    with pytest.raises(crossent.errors.OptionError, match="init_process_group"):
        vocab_parallel_cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1]))


def test_info_says_whether_a_process_group_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from crossent.cli import main

    if distributed_c10d.is_initialized():
        pytest.skip("a group is up")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    told = CliRunner().invoke(main, ["info"]).output
    assert "process group     none is up (backends: gloo" in told
    assert told.rstrip().endswith("torchrun: rank 1 of 4")
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert "process group     up: gloo, rank 0 of 1" in CliRunner().invoke(main, ["info"]).output
    finally:
        distributed.destroy_process_group()


def test_the_checks_see_the_loss(tmp_path: Path) -> None:
    from crossent import checks

    path = tmp_path / "step.py"
    path.write_text(
        "from crossent.distributed import vocab_parallel_cross_entropy as loss_of\n"
        "import torch.nn.functional as F\n"
        "def step(logits, labels):\n"
        "    return loss_of(F.softmax(logits, dim=-1), labels)\n"
    )
    assert [finding.rule_id for finding in checks.lint(path)] == ["X001"]
