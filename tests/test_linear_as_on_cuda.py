"""The linear layer's loss as a GPU would take it: nothing of the definition, nothing read by the host, few launches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from as_on_cuda import device
from conftest import DEVICE

import crossent

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="takes the interpreter")

N, D, C = 9, 8, 8192  # more logits than the whole way takes
GENERATOR = torch.Generator().manual_seed(3)
X, W, B = (torch.randn(shape, generator=GENERATOR) for shape in ((N, D), (C, D), (C,)))
Y = torch.tensor([1, -100, 39, 0, 7, -100, -100, 8191, 5])
CASES: dict[str, dict[str, Any]] = {
    "one chunk": {},
    "chunks": {"chunk_size": 4},
    "bias and smoothing": {"linear_bias": B, "label_smoothing": 0.1, "chunk_size": 4},
    "options": {"weight": torch.rand(C, generator=GENERATOR), "z_loss": 0.1, "softcap": 20.0, "chunk_size": 4},
    "rows": {"reduction": "none", "chunk_size": 4},
    "sum": {"reduction": "sum", "sample_weight": torch.rand(N, generator=GENERATOR), "chunk_size": 4},
}


def step(x: Any, w: Any, dtype: torch.dtype, **options: Any) -> list[torch.Tensor]:
    """The loss and its gradients by x and W, and by the bias."""
    b = options.pop("linear_bias", None)
    leaves = [part.to(dtype, copy=True).requires_grad_() for part in (x, w, b) if part is not None]
    given = {} if b is None else {"linear_bias": leaves[2]}
    loss = crossent.linear_cross_entropy(leaves[0], leaves[1], Y, **given, **options)
    g = torch.linspace(0.5, 1.0, loss.numel(), dtype=loss.dtype).reshape(loss.shape)
    return [loss.detach(), *torch.autograd.grad(loss, leaves, g)]


def wide(options: dict[str, Any]) -> dict[str, Any]:
    return {name: part.double() if isinstance(part, torch.Tensor) else part for name, part in options.items()}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_the_loss_and_its_gradients_without_the_definition(options, dtype, monkeypatch):
    x, w = X.to(dtype), W.to(dtype)
    theirs = step(x, w, torch.float64, **wide(options))
    for name in ("cross_entropy", "cross_entropy_with_gradient", "moments", "target_losses"):
        monkeypatch.setattr(f"crossent.backends.agnostic.{name}", None)
    with device() as mode:
        ours = step(x, w, dtype, **options)
    assert mode.launches["triton resident"] + mode.launches["triton swept"] > 0
    for mine, exact in zip(ours, theirs, strict=True):
        assert float((mine.double() - exact).norm() / exact.norm()) < 8 * torch.finfo(dtype).eps


def test_ignored_rows_cost_no_chunk_and_reach_nothing():
    x = X.clone()
    x[Y == -100] = torch.nan
    with device() as mode:
        loss, by_x, by_w = step(x, W, torch.float32, chunk_size=3)
        assert mode.launches["mm"] >= 2
        assert mode.launches["triton resident"] + mode.launches["triton swept"] <= 4  # 6 of 9 rows, and the backward
    assert torch.isfinite(loss)
    assert torch.isfinite(by_w).all()
    assert not by_x[Y == -100].any()


def test_a_chunk_is_a_few_launches():
    with device() as mode:
        leaves = [part.clone().requires_grad_() for part in (X, W)]
        before = crossent.linear_cross_entropy(*leaves, Y, chunk_size=9)
        mode.launches.clear()
        crossent.linear_cross_entropy(*leaves, Y, chunk_size=9)
        one = mode.count
        mode.launches.clear()
        crossent.linear_cross_entropy(*leaves, Y, chunk_size=3)
        two = mode.count
    assert torch.isfinite(before)
    assert two - one <= 20, (one, two)  # for one chunk more


def test_statistics_come_from_the_kernels(monkeypatch):
    theirs = crossent.linear_row_stats(X.double(), W.double(), Y, chunk_size=4)
    for name in ("cross_entropy", "moments", "target_losses"):
        monkeypatch.setattr(f"crossent.backends.agnostic.{name}", None)
    with device():
        ours = crossent.linear_row_stats(X, W, Y, chunk_size=4)
    for name in ("loss", "lse", "entropy", "confidence", "target_log_prob"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name).float(), rtol=1e-5, atol=1e-5)


def test_the_budget_of_logits_is_larger_on_a_gpu():
    from crossent._linear import chunks
    from crossent._linear import device as own

    layer = crossent._call.canonical.Layer(
        torch.empty(1, 1, device="meta"), torch.empty(128256, 1, device="meta"), None, _rows(), torch.bfloat16
    )
    assert chunks.chunk_rows(layer, 4096) == 128
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own, "GPUS", ("meta",))
        assert chunks.chunk_rows(layer, 4096) == 4096


def _rows() -> Any:
    """Rows with options alone."""
    nothing = dict.fromkeys(crossent._call.canonical.Rows._fields)
    return crossent._call.canonical.Rows(**{**nothing, "options": crossent._call.options.Options()})
