"""A loss is an ordinary tensor: written into, traced, hooked, computed in a forked child."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from conftest import kernels
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import crossent

torch.manual_seed(0)
X, Y = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
Q = torch.softmax(torch.randn(6, 5), 1)
W, B = torch.randn(5, 4), torch.randn(5)
H = torch.randn(6, 4)
BIG = torch.randn(40_000, 4)


def linear(x, layer=W, **options):
    return crossent.linear_cross_entropy(x[:, :4], layer.to(x.dtype), Y, **options)


LOSSES = {
    "index": lambda x, **o: crossent.cross_entropy(x, Y, **o),
    "probabilities": lambda x, **o: crossent.cross_entropy(x, Q, **o),
    "weights": lambda x, **o: crossent.cross_entropy(x, Y, torch.arange(1.0, 6.0), **o),
    "z_loss": lambda x, **o: crossent.cross_entropy(x, Y, z_loss=0.1, **o),
    "softcap": lambda x, **o: crossent.cross_entropy(x, Y, softcap=5.0, **o),
    "mask": lambda x, **o: crossent.cross_entropy(x, Y, where=torch.tensor([True] * 5), **o),
    "poly1": lambda x, **o: crossent.cross_entropy(x, Y, poly1_epsilon=1.0, **o),
    "module": lambda x, **o: crossent.nn.CrossEntropyLoss(**o)(x, Y),
    "nll": lambda x, **o: crossent.nll_loss(crossent.log_softmax(x), Y, **o),
    "binary": lambda x, **o: crossent.binary_cross_entropy_with_logits(x, Q.to(x.dtype), **o),
    "binary, weighted": lambda x, **o: crossent.binary_cross_entropy_with_logits(x, Q, pos_weight=torch.ones(5), **o),
    "binary, ignored": lambda x, **o: crossent.binary_cross_entropy_with_logits(
        x, torch.where(Q > 0.3, 255.0, 1.0), ignore_index=255, **o
    ),
    "binary module": lambda x, **o: crossent.nn.BCEWithLogitsLoss(**o)(x, Q),
    "probabilities' binary": lambda x, **o: crossent.binary_cross_entropy(torch.sigmoid(x), Q.to(x.dtype), **o),
    "linear": linear,
    "linear, large": lambda x, **o: linear(x, BIG, **o),
    "linear, weighted": lambda x, **o: linear(x, BIG, weight=torch.ones(40_000), **o),
    "linear module": lambda x, **o: crossent.nn.LinearCrossEntropyLoss(4, 5, **o).requires_grad_(False)(
        x[:, :4].float(), Y
    ),
}
REDUCTIONS = ["mean", "sum", "none"]


def gradient(change, name, reduction, dtype=torch.float32):
    """The loss after `change`, and the gradient of its sum."""
    x = X.clone().to(dtype).requires_grad_()
    torch.manual_seed(1)
    loss = LOSSES[name](x, reduction=reduction)
    loss = change(loss)
    loss.sum().backward()
    return loss.detach(), x.grad


def divided(loss):
    loss /= 4
    return loss


def changed(loss):
    loss *= 3
    loss += 1
    return loss.clamp_(min=0.0)


def masked(loss):
    if loss.ndim:
        loss[0] = 0
        loss[loss > loss.mean()] = 0
        loss.masked_fill_(loss == loss.max(), 0.5)
    return loss.mul_(1.0)


def masked_elsewhere(loss):
    if loss.ndim:
        first = torch.zeros_like(loss, dtype=torch.bool)
        first[0] = True
        loss = torch.where(first, 0.0, loss)
        loss = torch.where(loss > loss.mean(), 0.0, loss)
        loss = torch.where(loss == loss.max(), 0.5, loss)
    return loss * 1.0


PAIRS = [
    pytest.param(divided, lambda loss: loss / 4, id="divided"),
    pytest.param(changed, lambda loss: (loss * 3 + 1).clamp(min=0.0), id="changed"),
    pytest.param(masked, masked_elsewhere, id="masked"),
]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("within", "without"), PAIRS)
def test_a_loss_may_be_written_into(name, reduction, within, without) -> None:
    ours, theirs = gradient(within, name, reduction), gradient(without, name, reduction)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["index", "z_loss", "binary", "linear"])
def test_a_loss_of_every_dtype_may_be_written_into(name, dtype, reduction) -> None:
    ours, theirs = (gradient(change, name, reduction, dtype) for change in (divided, lambda loss: loss / 4))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_loss_may_be_detached_in_place(name, reduction) -> None:
    loss = LOSSES[name](X.clone().requires_grad_(), reduction=reduction)
    assert loss.requires_grad
    assert not loss.detach_().requires_grad


def test_statistics_may_be_written_into() -> None:
    x = X.clone().requires_grad_()
    stats = crossent.row_stats(x, Y)
    for part in (stats.loss, stats.lse, stats.entropy, stats.confidence, stats.target_log_prob):
        part.div_(2)
        part[0] = 0
    sum(p.sum() for p in (stats.loss, stats.lse, stats.entropy, stats.confidence)).backward()
    assert x.grad[0].abs().sum() == 0
    assert x.grad[1].abs().sum() > 0


def test_in_place_on_the_logits_gives_a_loss_of_its_own_too() -> None:
    x, other = X.clone().requires_grad_(), X.clone().requires_grad_()
    h = x * 1
    loss = crossent.cross_entropy(h, Y, inplace=True)
    loss /= 4
    loss.backward()
    (crossent.cross_entropy(other, Y) / 4).backward()
    torch.testing.assert_close(x.grad, other.grad)


# --- traces ---

IGNORED = torch.tensor([-100, 1, -100, 3, -100, 2])
MORE = torch.randn(9, 5), torch.tensor([0, -100, 1, 2, 4, -100, 0, 1, 3])
TRACED = {
    "mean": crossent.cross_entropy,
    "weights and smoothing": lambda x, y: crossent.cross_entropy(x, y, torch.arange(1.0, 6.0), label_smoothing=0.1),
    "rows": lambda x, y: crossent.cross_entropy(x, y, reduction="none", z_loss=0.1),
    "nothing counts": lambda x, y: crossent.cross_entropy(x, y, on_empty="zero"),
    "module": crossent.nn.CrossEntropyLoss(),
    "nll": lambda x, y: crossent.nll_loss(x.log_softmax(1), y),
    "linear": lambda x, y: crossent.linear_cross_entropy(x, torch.eye(5), y),
    "linear, large": lambda x, y: crossent.linear_cross_entropy(x[:, :4], BIG, y),
    "statistics": lambda x, y: torch.stack([p.float() for p in crossent.row_stats(x, y)]),
    "softmax": lambda x, y: crossent.softmax(x, temperature=2.0) + 0 * y[:, None],
    "binary": lambda x, y: crossent.binary_cross_entropy_with_logits(x, (y[:, None] == torch.arange(5)).float()),
}


@pytest.mark.parametrize("example", [(X, Y), (X, IGNORED)], ids=["all count", "some ignored"])
@pytest.mark.parametrize("name", TRACED)
def test_a_trace_has_nothing_of_its_example(name, example) -> None:
    function = TRACED[name]
    traced = torch.jit.trace(function, example, check_trace=False)
    for call in ((X, Y), (X, IGNORED), MORE):
        torch.testing.assert_close(traced(*call), function(*call), rtol=1e-5, atol=1e-6, equal_nan=True)


class Model(torch.nn.Module):
    """A layer with its loss inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(5, 5)

    def forward(self, x, y):
        return crossent.cross_entropy(self.layer(x), y)


def test_a_trace_of_a_training_model_has_the_gradient() -> None:
    model = Model()
    traced = torch.jit.trace(model, (X, Y), check_trace=False)
    ours = torch.autograd.grad(traced(X, IGNORED), model.layer.weight)[0]
    theirs = torch.autograd.grad(torch.nn.functional.cross_entropy(model.layer(X), IGNORED), model.layer.weight)[0]
    torch.testing.assert_close(ours, theirs)


class Seen(TorchDispatchMode):
    """Every operation that passes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", LOSSES)
def test_a_mode_sees_the_operations(name) -> None:
    expected = LOSSES[name](X.clone()) if "module" not in name else None
    with Seen() as seen:
        value = LOSSES[name](X.clone())
    assert len(seen.names) > 3
    if expected is not None:
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("name", ["index", "z_loss", "probabilities", "binary"])
def test_hooks_see_what_is_saved(name) -> None:
    seen = []

    def pack(tensor):
        seen.append(tuple(tensor.shape))
        return tensor

    x = X.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = LOSSES[name](x)
    assert (6, 5) in seen
    loss.backward()
    other = X.clone().requires_grad_()
    LOSSES[name](other).backward()
    torch.testing.assert_close(x.grad, other.grad)


def test_checkpointing_keeps_nothing_and_gives_the_gradient() -> None:
    x, other = X.clone().requires_grad_(), X.clone().requires_grad_()
    checkpoint(lambda z: crossent.cross_entropy(z * 2, Y), x, use_reentrant=False).backward()
    crossent.cross_entropy(other * 2, Y).backward()
    torch.testing.assert_close(x.grad, other.grad)


# --- one promise of the one Function, in each of its ways ---

WAYS = ["cpu", "triton", "without kernels"]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Each way in which a value is tied to a gradient."""
    from crossent.backends.cpu import _extension

    if request.param == "triton":
        pytest.importorskip("triton")
        with kernels():
            yield request.param
        return
    if request.param == "without kernels":
        monkeypatch.setattr(_extension, "kernels", lambda: None)
        monkeypatch.setattr("crossent.backends.cpu.kernels", lambda: None)
    yield request.param


OPTIONS = [{}, {"z_loss": 0.1}, {"reduction": "none"}, {"softcap": 5.0}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_changed_target_is_never_differentiated(way, options) -> None:
    y, x = Y.clone(), X.clone().requires_grad_()
    loss = crossent.cross_entropy(x, y, check=False, **options).sum()
    y.copy_((y + 1) % 5)
    if way == "without kernels" and options in ({}, {"reduction": "none"}):
        pytest.skip("torch's own kernel, which keeps the target itself")
    with pytest.raises(RuntimeError, match="modif"):
        torch.autograd.grad(loss, x, create_graph=True)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_batches_of_cotangents(way, options) -> None:
    x = X.clone().requires_grad_()
    loss = crossent.cross_entropy(x, Y, check=False, **options)
    cotangents = torch.tensor([1.0, -2.0, 0.5])
    cotangents = cotangents[:, None].expand(3, 6) if loss.ndim else cotangents
    (batch,) = torch.autograd.grad(loss, x, cotangents, is_grads_batched=True, retain_graph=True)
    for g, part in zip(cotangents, batch, strict=True):
        (one,) = torch.autograd.grad(loss, x, g, retain_graph=True)
        torch.testing.assert_close(part, one, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_kept_graph_gives_the_same_twice_and_a_freed_one_says_so(way, options) -> None:
    x = X.clone().requires_grad_()
    loss = crossent.cross_entropy(x, Y, check=False, **options).sum()
    first, second = (torch.autograd.grad(loss, x, retain_graph=keep)[0] for keep in (True, False))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


# --- a forked child ---

CHILD = """
    import os, sys, torch, crossent
    x = torch.randn(2048, 4000, dtype=getattr(torch, sys.argv[1]))
    y = torch.randint(0, 4000, (2048,))
    pixels = torch.randint(0, 3, (4, 256, 256), dtype=torch.int32)
    pixels[0, :8] = -100
    images = torch.randn(4, 3, 256, 256)
    labels = (images > 0).float()
    crossent.cross_entropy(x.float().requires_grad_(), y).backward()  # the pool is there
    (x @ x.T).sum()
    child = os.fork()
    if child == 0:
        import signal
        signal.alarm(20)
        z = x.detach().requires_grad_()
        for options in ({}, {"z_loss": 0.1}, {"reduction": "none"}):
            loss = crossent.cross_entropy(z, y, **options)
            z.grad = None  # autograd's own sum of two gradients would wait for the pool
            loss.backward(torch.full(loss.shape, 0.5, dtype=loss.dtype))
        p = images.detach().requires_grad_()
        torch.autograd.grad(crossent.cross_entropy(p, pixels), p)
        torch.autograd.grad(crossent.binary_cross_entropy_with_logits(p, labels), p)
        crossent.row_stats(z.detach(), y)
        crossent.softmax(z.detach())
        os._exit(0 if bool(torch.isfinite(z.grad[0]).all()) else 3)
    assert os.waitpid(child, 0)[1] == 0, "the child hung or failed"
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_forked_child_computes_large_losses(dtype) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    script = textwrap.dedent(CHILD)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, dtype],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_looks_see_the_numbers_of_every_dtype() -> None:
    from crossent._door import misuse

    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        seen = misuse._numbers(misuse._memory(X.to(dtype)), X.to(dtype))
        np.testing.assert_array_equal(np.asarray(seen, np.float64), X.to(dtype).double().numpy())
