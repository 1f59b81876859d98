"""Unformed logits behave as the tensor that they stand for, in value, gradient and memory shared."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

import crossent
from crossent.integrations.transformers import LazyLogits, fused_head
from crossent.integrations.transformers.recipe import Recipe

D, C = 3, 5
SHIFT = torch.linspace(-1, 1, C, dtype=torch.float64)


class Model(torch.nn.Module):
    """A head and nothing else."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = torch.nn.Linear(D, C, bias=bias)

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.head

    def forward(self, x: Any) -> Any:
        return self.head(x)


def pair(bias: bool = True, shape: tuple[int, ...] = (2, 4, D), dtype: Any = torch.float64) -> tuple[Any, Any, Any]:
    """(a model, its logits, the same unformed)."""
    model = Model(bias).to(dtype)
    x = torch.randn(shape, dtype=dtype)
    plain = model(x)
    fused_head(model)
    return model, plain, model(x)


# Each keeps, or takes, rows of any number of axes; some form the logits.
KEEPING: list[Any] = [
    lambda z: z.view(-1, C),
    lambda z: z.reshape(1, *z.shape),
    lambda z: z[..., :-1, :],
    lambda z: z[:, 1:],
    lambda z: z[-1],
    lambda z: z[None],
    lambda z: z[..., 0, :],
    lambda z: z[torch.arange(z.shape[0]) % 2 == 0],
    lambda z: z[[0]],
    lambda z: z[torch.tensor([0, 0])],
    lambda z: z.contiguous(),
    lambda z: z.clone(),
    lambda z: z.detach() + z,
    lambda z: z.float().double(),
    lambda z: z.to(torch.float64),
    lambda z: z / 3.0,
    lambda z: 0.5 * z,
    lambda z: z * 2,
    torch.tanh,
    lambda z: 4.0 * torch.tanh(z / 4.0),
    lambda z: z.split(1)[0],
    lambda z: z.chunk(2, dim=0)[-1],
    lambda z: torch.stack(list(z)),
    lambda z: z.transpose(0, -1).transpose(0, -1),
    lambda z: z.flatten(0, -2),
    lambda z: z.unsqueeze(0).squeeze(0),
    lambda z: z + 1,
    lambda z: z + SHIFT,
    lambda z: z.log_softmax(-1),
    lambda z: -z.log_softmax(-1) * 0.5,
    lambda z: z.transpose(0, 1),
    lambda z: z.transpose(1, -1),
    lambda z: z.permute(0, 2, 1),
    lambda z: z.movedim(-1, 1),
    lambda z: torch.swapaxes(z, 1, 2),
    lambda z: z.mT,
    lambda z: F.log_softmax(z, dim=z.ndim - 1),
    lambda z: SHIFT[None] + z,
    lambda z: -z,
    lambda z: z.flip(-1),
    lambda z: z[..., [0, 1, 2, 3, 4]],
    lambda z: z.narrow(0, 0, 1),
    lambda z: torch.cat([z, z]),
    lambda z: z.masked_fill(z > 0.5, 0.0),
]
ENDS: list[Any] = [
    lambda z: z.sum(),
    lambda z: (z**2).mean(),
    lambda z: z.logsumexp(-1).sum(),
    lambda z: z.log_softmax(-1)[..., 0].sum(),
    lambda z: F.cross_entropy(z.reshape(-1, C), torch.arange(z.numel() // C) % C),
    lambda z: F.cross_entropy(z.flatten(0, -2), torch.arange(z.numel() // C) % C, reduction="sum", label_smoothing=0.1),
    lambda z: F.cross_entropy(z.view(-1, C), torch.arange(z.numel() // C) % C, torch.arange(1.0, C + 1).double()),
    lambda z: F.nll_loss(z.log_softmax(-1).view(-1, C), torch.arange(z.numel() // C) % C, reduction="sum"),
    lambda z: F.cross_entropy(z, torch.arange(z.numel() // z.shape[1]).view(z.shape[0], *z.shape[2:]) % z.shape[1]),
    lambda z: F.cross_entropy(z.transpose(1, 2).double() / 2, torch.arange(z.numel() // C).view(z.shape[:-1]) % C),
    lambda z: crossent.cross_entropy(z.movedim(-1, 1), torch.arange(z.numel() // C).view(z.shape[:-1]) % C),
    lambda z: crossent.row_stats(z, axis=1).entropy.sum(),
    lambda z: crossent.row_stats(z, axis=-1, top_k=2).top_k_log_probs.sum(),
    lambda z: z.log_softmax(-1).sum(-1).sum() + (-z.log_softmax(-1)).mean(-1, keepdim=True).square().sum(),
    lambda z: z.sum(-1).sum() + z.mean((-1,)).sum() + z.sum(0).sum(),
    lambda z: z.gather(-1, z.argmax(-1, keepdim=True)).sum(),
    lambda z: torch.gather(z.log_softmax(-1), -1, z.argmin(-1, keepdim=True)).sum(),
    lambda z: z.log_softmax(-1).gather(-1, torch.arange(z.numel()).view(z.shape) % C)[..., :2].sum(),
    lambda z: z.argmax(-1).double().mean() + z.max(),
    lambda z: (z.argmax(-1, keepdim=True) * z).sum(),
]


@given(st.lists(st.sampled_from(KEEPING), max_size=5), st.sampled_from(ENDS), st.booleans())
def test_any_chain_of_operations(chain: list[Any], end: Any, bias: bool) -> None:
    model, plain, lazy = pair(bias)
    try:
        for operation in chain:
            plain = operation(plain)
        expected = end(plain)
        wanted = torch.autograd.grad(expected, list(model.parameters()), allow_unused=True)
    except (IndexError, RuntimeError, ValueError):
        return  # a view that copies would serve, and the like: unformed logits may be more lenient
    own = run(chain, end, lazy)
    assert torch.allclose(own, expected, equal_nan=True)
    found = torch.autograd.grad(own, list(model.parameters()), allow_unused=True)
    for one, two in zip(found, wanted, strict=True):
        assert (one is None) == (two is None)
        assert one is None or torch.allclose(one, two, atol=1e-12, equal_nan=True)


def run(chain: list[Any], end: Any, z: Any) -> Any:
    """The chain and its end, seen to have given what it says it gave."""
    for operation in chain:
        z = operation(z)
    return end(z)


def test_what_it_says_of_itself_forms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recipe, "form", lambda self: pytest.fail("formed"))
    _, plain, lazy = pair()
    assert (lazy.shape, lazy.dtype, lazy.device, lazy.ndim) == (plain.shape, plain.dtype, plain.device, plain.ndim)
    assert (lazy.size(-1), lazy.numel(), len(lazy), lazy.stride()) == (C, plain.numel(), 2, plain.stride())
    assert lazy.is_contiguous()
    assert lazy.requires_grad
    assert lazy.grad_fn is not None
    assert not lazy.is_leaf
    assert not lazy.detach().requires_grad
    assert torch.is_floating_point(lazy)
    assert lazy.dim() == 3
    assert repr(lazy) == "LazyLogits(shape=(2, 4, 5), dtype=torch.float64, not formed)"
    assert isinstance(lazy[0], LazyLogits)
    with torch.no_grad():
        assert not lazy[0].requires_grad
    with pytest.raises(pytest.fail.Exception):
        lazy.sum()


def test_writing_is_seen_by_what_shares_the_memory() -> None:
    _, plain, lazy = pair()
    seen = []
    for logits in (plain, lazy):
        z = logits
        shifted, copied = z[:, :-1], z[:, :-1].contiguous()
        shifted[0, 0] = 7.0
        z.mul_(2)
        z.view(-1, C)[-1] = -1.0
        z += 1
        seen.append((z.detach().clone(), shifted.detach().clone(), copied.detach().clone()))
    for one, two in zip(*seen, strict=True):
        assert torch.allclose(one, two)


def test_writing_keeps_the_graph() -> None:
    model, plain, lazy = pair()
    for z in (plain, lazy):
        z[..., 0] = -10.0
    expected = torch.autograd.grad(F.cross_entropy(plain.view(-1, C), torch.arange(8) % C), list(model.parameters()))
    found = torch.autograd.grad(F.cross_entropy(lazy.view(-1, C), torch.arange(8) % C), list(model.parameters()))
    assert all(torch.allclose(one, two) for one, two in zip(found, expected, strict=True))


def test_hooks_and_kept_gradients_see_the_loss() -> None:
    _, _, lazy = pair()
    lazy.retain_grad()
    heard = []
    lazy.register_hook(heard.append)
    F.cross_entropy(lazy.view(-1, C), torch.arange(8) % C).backward()
    assert torch.allclose(lazy.grad.sum(-1), torch.zeros(2, 4, dtype=torch.float64))
    assert len(heard) == 1


def test_formed_once_for_all_who_look(monkeypatch: pytest.MonkeyPatch) -> None:
    count, form = [], Recipe.form
    monkeypatch.setattr(Recipe, "form", lambda self: count.append(1) or form(self))
    _, plain, lazy = pair()
    assert torch.equal(lazy.exp(), plain.exp())
    assert torch.equal(lazy.sin(), plain.sin())
    assert torch.equal(lazy[0], plain[0])
    assert lazy.grad_fn is not None
    assert len(count) == 1


def test_copies_and_files() -> None:
    import pickle

    _, plain, lazy = pair()
    back = pickle.loads(pickle.dumps(lazy.detach()))
    assert type(back) is torch.Tensor
    assert torch.equal(back, plain)
    assert torch.equal(copy.deepcopy(lazy.detach()), plain)
    assert plain.tolist() == lazy.tolist()


def test_below_python_it_is_right_too() -> None:
    """Autograd's own edge of the stand-in, as C++ would walk it."""
    model, plain, lazy = pair()
    with torch._C.DisableTorchFunctionSubclass():
        own = (lazy * lazy).sum()
    expected = torch.autograd.grad((plain * plain).sum(), list(model.parameters()))
    found = torch.autograd.grad(own, list(model.parameters()))
    assert all(torch.allclose(one, two) for one, two in zip(found, expected, strict=True))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients(context: Any) -> None:
    model = Model(True)
    x = torch.randn(2, 4, D)
    with context():
        plain = model(x)
        with fused_head(model):
            lazy = model(x)
            assert not lazy.requires_grad
            assert torch.equal(lazy * 2, plain * 2)
            assert torch.equal(lazy.argmax(-1), plain.argmax(-1))


def test_where_it_stays_plain() -> None:
    """Transforms, traces and a single position without gradients have the logits themselves."""
    model = Model(True)
    fused_head(model)
    x = torch.randn(2, 4, D)
    assert type(torch.func.functional_call(model, dict(model.named_parameters()), (x,))) is LazyLogits
    assert torch.func.vmap(model)(x).shape == (2, 4, C)
    with torch.no_grad():
        assert type(model(x[:, -1:])) is torch.Tensor
    assert type(model(x[:, -1:])) is LazyLogits
    assert type(model(x[0, 0])) is torch.Tensor


class Reversed(torch.autograd.Function):
    """A copy whose gradient is turned round."""

    @staticmethod
    def forward(ctx: Any, z: Any) -> Any:
        return z.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return -g


def test_a_copy_that_an_autograd_function_makes() -> None:
    """Its backward pass is run."""
    model, plain, lazy = pair()
    y = torch.arange(8) % C
    expected = torch.autograd.grad(F.cross_entropy(Reversed.apply(plain).view(-1, C), y), list(model.parameters()))
    found = torch.autograd.grad(F.cross_entropy(Reversed.apply(lazy).view(-1, C), y), list(model.parameters()))
    assert all(torch.allclose(one, two) for one, two in zip(found, expected, strict=True))
    with torch.no_grad():
        copied = lazy.clone()
    assert not copied.requires_grad
    assert not (copied * 2).requires_grad
