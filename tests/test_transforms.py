"""Every way of differentiating and tracing that torch and JAX have, through every loss."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import crossent

DOUBLE = torch.float64


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=DOUBLE, generator=generator) * 2


INDEX = torch.tensor([2, 0, 4, -100, 1, 3])
SOFT = torch.softmax(logits(6, 5, seed=1), -1)
ROW_WEIGHT = torch.rand(6, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))
CLASS_WEIGHT = torch.rand(5, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
MASK = torch.tensor([True, True, True, True, True, True, True, False, True, True] * 3).reshape(6, 5)

LOSSES = {
    "index": lambda x, **o: crossent.cross_entropy(x, INDEX, **o),
    "probabilities": lambda x, **o: crossent.cross_entropy(x, SOFT, **o),
    "every option": lambda x, **o: crossent.cross_entropy(
        x,
        INDEX,
        CLASS_WEIGHT,
        label_smoothing=0.1,
        z_loss=0.01,
        softcap=5.0,
        temperature=1.5,
        sample_weight=ROW_WEIGHT,
        where=MASK,
        **o,
    ),
    "denominator": lambda x, **o: crossent.cross_entropy(x, INDEX, denominator=torch.tensor(7.0)),
    "softmax": lambda x, **o: crossent.softmax(x),
    "masked softmax": lambda x, **o: crossent.softmax(x, where=MASK, temperature=0.7),
    "log_softmax": lambda x, **o: crossent.log_softmax(x),
    "logsumexp": lambda x, **o: crossent.logsumexp(x),
    "nll_loss": lambda x, **o: crossent.nll_loss(crossent.log_softmax(x), INDEX, CLASS_WEIGHT, **o),
    "binary": lambda x, **o: crossent.binary_cross_entropy_with_logits(x, SOFT, pos_weight=CLASS_WEIGHT, **o),
    "binary from probabilities": lambda x, **o: crossent.binary_cross_entropy(torch.sigmoid(x), SOFT, **o),
    "row_stats": lambda x, **o: sum(
        part.sum() for part in crossent.row_stats(x, INDEX, label_smoothing=0.1) if part.is_floating_point()
    ),
}
NAMES = list(LOSSES)


@pytest.mark.parametrize("name", NAMES)
def test_first_and_second_derivatives(name: str) -> None:
    x = logits(6, 5).requires_grad_()
    assert gradcheck(
        LOSSES[name], (x,), check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )
    assert gradgradcheck(LOSSES[name], (x,), check_fwd_over_rev=True)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("name", ["index", "probabilities", "every option", "binary"])
def test_every_reduction(name: str, reduction: str) -> None:
    x = logits(6, 5).requires_grad_()
    assert gradcheck(lambda x: LOSSES[name](x, reduction=reduction), (x,), check_forward_ad=True)
    assert gradgradcheck(lambda x: LOSSES[name](x, reduction=reduction), (x,))


def test_derivatives_by_targets_and_weights() -> None:
    x, q, weight, rows = (t.clone().requires_grad_() for t in (logits(6, 5), SOFT, CLASS_WEIGHT, ROW_WEIGHT))

    def soft(x, q, weight, rows):
        return crossent.cross_entropy(x, q, weight, sample_weight=rows, label_smoothing=0.1, check=False)

    def index(x, weight, rows):
        return crossent.cross_entropy(x, INDEX, weight, sample_weight=rows, z_loss=0.1)

    assert gradcheck(soft, (x, q, weight, rows), check_forward_ad=True)
    assert gradgradcheck(soft, (x, q, weight, rows))
    assert gradcheck(index, (x, weight, rows), check_forward_ad=True)
    binary = (x, torch.rand(6, 5, dtype=DOUBLE).requires_grad_(), torch.rand(5, dtype=DOUBLE).requires_grad_())
    assert gradcheck(
        lambda x, y, p: crossent.binary_cross_entropy_with_logits(x, y, pos_weight=p), binary, check_forward_ad=True
    )


def test_second_derivative_of_the_binary_loss_at_zero() -> None:
    value = hessian(lambda x: crossent.binary_cross_entropy_with_logits(x, torch.ones(1)))(torch.zeros(1))
    assert value.item() == 0.25


def test_derivatives_at_ties() -> None:
    x = torch.zeros(3, 4, dtype=DOUBLE).requires_grad_()
    target = torch.tensor([0, 1, 3])
    assert gradcheck(lambda x: crossent.cross_entropy(x, target), (x,), check_forward_ad=True)
    assert gradgradcheck(lambda x: crossent.cross_entropy(x, target), (x,))


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n not in ("masked softmax", "softmax", "log_softmax", "logsumexp")]
)
def test_functional_transforms_agree_with_autograd(name: str) -> None:
    x = logits(6, 5)
    (wanted,) = torch.autograd.grad(LOSSES[name](leaf := x.clone().requires_grad_()), leaf)
    direction = logits(6, 5, seed=9)
    torch.testing.assert_close(grad(LOSSES[name])(x), wanted)
    torch.testing.assert_close(jacrev(LOSSES[name])(x), wanted)
    torch.testing.assert_close(jacfwd(LOSSES[name])(x), wanted)
    torch.testing.assert_close(vjp(LOSSES[name], x)[1](torch.ones((), dtype=DOUBLE))[0], wanted)
    torch.testing.assert_close(jvp(LOSSES[name], (x,), (direction,))[1], (wanted * direction).sum())
    second = hessian(LOSSES[name])(x).reshape(30, 30)
    torch.testing.assert_close(second, second.T, atol=1e-9, rtol=1e-6)


def test_per_sample_gradients() -> None:
    model = torch.nn.Linear(7, 5).double()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    x, y = logits(6, 7), torch.tensor([0, 1, 2, 3, 4, -100])

    def one(parameters, x, y):
        return crossent.cross_entropy(functional_call(model, parameters, (x[None],)), y[None], reduction="sum")

    batched = vmap(grad(one), in_dims=(None, 0, 0))(parameters, x, y)
    for i in range(6):
        single = grad(one)(parameters, x[i], y[i])
        for name, value in single.items():
            torch.testing.assert_close(batched[name][i], value)


def test_dual_numbers() -> None:
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(logits(6, 5), logits(6, 5, seed=4))
        tangent = forward_ad.unpack_dual(crossent.cross_entropy(dual, INDEX)).tangent
    wanted = jvp(lambda x: torch.nn.functional.cross_entropy(x, INDEX), (logits(6, 5),), (logits(6, 5, seed=4),))[1]
    torch.testing.assert_close(tangent, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_compiles_without_a_graph_break(name: str) -> None:
    torch.compiler.reset()
    compiled = torch.compile(LOSSES[name], fullgraph=True, backend="aot_eager")
    ours, theirs = logits(6, 5).requires_grad_(), logits(6, 5).requires_grad_()
    value, wanted = LOSSES[name](ours), compiled(theirs)
    torch.testing.assert_close(wanted, value)
    cotangent = torch.rand_like(value)
    value.backward(cotangent)
    wanted.backward(cotangent)
    torch.testing.assert_close(theirs.grad, ours.grad)


def test_modules_compile_with_dynamic_shapes() -> None:
    torch.compiler.reset()
    compiled = torch.compile(
        crossent.nn.CrossEntropyLoss(label_smoothing=0.1), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for n, c in ((4, 5), (7, 9), (3, 2)):
        x, y = logits(n, c), torch.arange(n) % c
        torch.testing.assert_close(compiled(x, y), torch.nn.functional.cross_entropy(x, y, label_smoothing=0.1))


def test_an_index_out_of_range_is_nan_where_values_cannot_be_read() -> None:
    torch.compiler.reset()
    x, y = logits(2, 5), torch.tensor([1, 5])
    compiled = torch.compile(
        lambda x: crossent.cross_entropy(x, y, reduction="none"), fullgraph=True, backend="aot_eager"
    )
    for rows in (compiled(x), vmap(crossent.cross_entropy)(x, y)):
        assert torch.isnan(rows).tolist() == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_compiles_with_inductor(name: str) -> None:
    torch.compiler.reset()
    compiled = torch.compile(LOSSES[name], fullgraph=True)
    ours, theirs = logits(6, 5).requires_grad_(), logits(6, 5).requires_grad_()
    value, wanted = LOSSES[name](ours), compiled(theirs)
    torch.testing.assert_close(wanted, value)
    value.sum().backward()
    wanted.sum().backward()
    torch.testing.assert_close(theirs.grad, ours.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_float32_as_torch_does(dtype: torch.dtype) -> None:
    x = logits(6, 5).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, theirs = crossent.cross_entropy(x, INDEX), torch.nn.functional.cross_entropy(x, INDEX)
        binary = crossent.binary_cross_entropy_with_logits(x, SOFT)
    assert loss.dtype == theirs.dtype == binary.dtype == torch.float32
    loss.backward()
    assert x.grad.dtype == dtype
    assert crossent.cross_entropy(x, INDEX).dtype == dtype


def test_retain_graph_gives_the_same_gradient_twice() -> None:
    x = logits(6, 5).requires_grad_()
    loss = crossent.cross_entropy(x, INDEX)
    loss.backward(retain_graph=True)
    first, x.grad = x.grad, None
    loss.backward()
    assert torch.equal(first, x.grad)


def test_export() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loss = crossent.nn.CrossEntropyLoss(ignore_index=3)

        def forward(self, x, y):
            return self.loss(x, y)

    x, y = logits(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    program = torch.export.export(Model(), (x, y))
    torch.testing.assert_close(program.module()(x, y), Model()(x, y))


def test_modules_survive_copying_and_dataparallel_replication() -> None:
    loss = crossent.nn.CrossEntropyLoss(CLASS_WEIGHT, z_loss=0.1)
    again = copy.deepcopy(loss)
    torch.testing.assert_close(again(logits(6, 5), INDEX), loss(logits(6, 5), INDEX))


@pytest.mark.slow
def test_jax_transforms() -> None:
    jax = pytest.importorskip("jax")
    from jax.test_util import check_grads

    jnp = jax.numpy
    x, y = jnp.asarray(logits(6, 5).numpy()), jnp.asarray(INDEX.numpy())
    options = {"label_smoothing": 0.1, "z_loss": 0.01, "softcap": 5.0, "temperature": 1.5}
    plain, full = ({}, options)
    for given, reduction in itertools.product((plain, full), ("mean", "sum")):

        def loss(x, given=given, reduction=reduction):
            return crossent.cross_entropy(x, y, reduction=reduction, **given)

        leaf = logits(6, 5).float().requires_grad_()
        wanted = crossent.cross_entropy(leaf, INDEX, reduction=reduction, **given)
        (wanted_gradient,) = torch.autograd.grad(wanted, leaf)
        for value in (loss(x), jax.jit(loss)(x)):
            assert float(value) == pytest.approx(wanted.item(), rel=1e-6)
        for gradient in (jax.grad(loss)(x), jax.jit(jax.grad(loss))(x), jax.jacfwd(loss)(x)):
            torch.testing.assert_close(torch.tensor(gradient.tolist()), wanted_gradient, atol=1e-6, rtol=1e-5)
        second = jax.hessian(loss)(x).reshape(30, 30)
        assert jnp.allclose(second, second.T, atol=1e-6)
    rows = jax.vmap(crossent.cross_entropy)(x, jnp.abs(y) % 5)
    assert jnp.allclose(rows, crossent.cross_entropy(x, jnp.abs(y) % 5, reduction="none"), atol=1e-6)
    for function in (crossent.softmax, crossent.log_softmax, crossent.logsumexp):
        check_grads(lambda x, f=function: f(jnp.asarray(x)), (x,), order=2, modes=("fwd", "rev"), atol=0.05, rtol=0.05)
    check_grads(
        lambda x: crossent.binary_cross_entropy_with_logits(jnp.asarray(x), jnp.asarray(SOFT.numpy())),
        (x,),
        order=2,
        atol=0.05,
        rtol=0.05,
    )
