"""Every way of differentiating and tracing that torch has, through the linear loss; failures of its kind."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import library
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.utils.checkpoint import checkpoint

import crossent
from crossent._linear import block, chunks, passes
from crossent._torch import linear as torch_linear

DOUBLE = torch.float64
N, D, C = 6, 3, 5
INDEX = torch.tensor([2, 0, 4, -100, 1, 3])
OPTIONS = {"label_smoothing": 0.1, "z_loss": 0.01, "softcap": 5.0, "temperature": 1.5}


def random(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed)).to(dtype)


SOFT = torch.softmax(random(N, C, seed=1), -1)
ROWS, CLASSES = random(N, seed=2).abs(), random(C, seed=3).abs()
MASK = torch.tensor([True, True, True, True, True, True, True, False, True, True] * 3).reshape(N, C)

LOSSES = {
    "index": lambda x, w, b, **o: crossent.linear_cross_entropy(x, w, INDEX, linear_bias=b, chunk_size=4, **o),
    "probabilities": lambda x, w, b, **o: crossent.linear_cross_entropy(x, w, SOFT, linear_bias=b, chunk_size=4, **o),
    "every option": lambda x, w, b, **o: crossent.linear_cross_entropy(
        x, w, INDEX, linear_bias=b, weight=CLASSES, sample_weight=ROWS, where=MASK, chunk_size=4, **OPTIONS, **o
    ),
    "denominator": lambda x, w, b, **o: crossent.linear_cross_entropy(
        x, w, INDEX, linear_bias=b, denominator=torch.tensor(7.0), chunk_size=4
    ),
    "statistics": lambda x, w, b, **o: added(
        crossent.linear_row_stats(x, w, INDEX, linear_bias=b, chunk_size=4, label_smoothing=0.1)
    ),
    "statistics beside": lambda x, w, b, **o: added(
        crossent.linear_cross_entropy(x, w, INDEX, linear_bias=b, chunk_size=4, return_stats=True, **o)
    ),
}
NAMES = list(LOSSES)


def added(parts) -> torch.Tensor:
    """One number of all that a call gives back, each part in its own proportion."""
    if isinstance(parts, tuple) and not hasattr(parts, "_fields"):
        return parts[0].sum() + added(parts[1])
    floating = [part for part in parts if part is not None and part.is_floating_point()]
    return sum(
        (part * torch.linspace(-1, k + 1, part.numel(), dtype=part.dtype)).sum() for k, part in enumerate(floating)
    )


def layer(dtype: torch.dtype = DOUBLE) -> list[torch.Tensor]:
    """x, W and b that require grad."""
    made = random(N, D, dtype=dtype), random(C, D, seed=5, dtype=dtype), random(C, seed=6, dtype=dtype)
    return [part.requires_grad_() for part in made]


def plain(x, w, b, **options):
    """The definition."""
    return crossent.cross_entropy(F.linear(x, w, b), INDEX, **options)


@pytest.fixture(autouse=True)
def _chunks_for_small_layers(monkeypatch) -> None:
    monkeypatch.setattr(torch_linear, "SMALL", 0)


@pytest.fixture
def chunked_calls(monkeypatch) -> list[int]:
    """One entry for each walk over chunks: so a test knows that the chunks served."""
    calls: list[int] = []
    walk = chunks.walk
    monkeypatch.setattr(chunks, "walk", lambda *a, **k: (calls.append(1), walk(*a, **k))[1])
    return calls


# --- derivatives ---


@pytest.mark.parametrize("name", NAMES)
def test_first_and_second_derivatives(name, chunked_calls) -> None:
    assert gradcheck(LOSSES[name], layer(), check_forward_ad=True, check_batched_grad=True)
    assert chunked_calls
    assert gradgradcheck(LOSSES[name], layer())


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("name", ["index", "probabilities", "every option"])
def test_13_every_reduction_with_any_cotangent(name, reduction) -> None:
    assert gradcheck(lambda *p: LOSSES[name](*p, reduction=reduction), layer(), check_forward_ad=True)
    assert gradgradcheck(lambda *p: LOSSES[name](*p, reduction=reduction), layer())


@pytest.mark.parametrize("recompute", [True, False])
def test_13_cotangents_of_stride_zero(recompute) -> None:
    ours, theirs = layer(), layer()
    LOSSES["index"](*ours, reduction="none", recompute=recompute).sum().backward()
    plain(*theirs, reduction="none").sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    loss = LOSSES["index"](*ours, reduction="none", recompute=recompute)
    found = torch.autograd.grad(loss, ours, torch.tensor(2.0, dtype=DOUBLE).expand(N))
    for one, other in zip(found, theirs, strict=True):
        torch.testing.assert_close(one, 2 * other.grad)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_14_two_backward_passes_give_the_same_gradient_twice(reduction) -> None:
    leaves = layer()
    loss = LOSSES["index"](*leaves, reduction=reduction)
    g = torch.rand_like(loss)
    first = torch.autograd.grad(loss, leaves, g, retain_graph=True)
    first[0].mul_(7.0)
    again = torch.autograd.grad(loss, leaves, g, retain_graph=True)
    last = torch.autograd.grad(loss, leaves, g)
    assert torch.equal(first[0], again[0] * 7.0)
    for one, other in zip(again, last, strict=True):
        assert torch.equal(one, other)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, leaves, g)


def test_15_nothing_is_written_into_an_argument() -> None:
    leaves, target = layer(), INDEX.clone()
    before = [leaf.detach().clone() for leaf in leaves]
    crossent.linear_cross_entropy(*leaves[:2], target, linear_bias=leaves[2]).backward()
    for leaf, value in zip(leaves, before, strict=True):
        assert torch.equal(leaf.detach(), value)
        assert leaf._version == 0
    assert torch.equal(target, INDEX)


def test_15_a_weight_changed_before_the_backward_pass_raises() -> None:
    x, w, b = layer()
    loss = LOSSES["index"](x, w, b, reduction="none").sum()
    with torch.no_grad():
        w.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("frozen", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
def test_16_a_frozen_operand_costs_nothing_and_loses_nothing(frozen, reduction, monkeypatch) -> None:
    asked = []
    totals = chunks._totals
    monkeypatch.setattr(
        chunks, "_totals", lambda h, n, wanted, **k: (asked.append(wanted), totals(h, n, wanted, **k))[1]
    )
    ours, theirs = layer(), layer()
    for part in frozen:
        ours[part].requires_grad_(False)
    LOSSES["index"](*ours, reduction=reduction).sum().backward()
    plain(*theirs, reduction=reduction).sum().backward()
    for k, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if k in frozen:
            assert one.grad is None
        else:
            torch.testing.assert_close(one.grad, other.grad)
    assert asked[-1] == tuple(k not in frozen for k in range(3))


@pytest.mark.parametrize("grad_mode", [torch.no_grad, torch.inference_mode])
def test_16_a_forward_pass_alone_forms_no_gradient(grad_mode, monkeypatch) -> None:
    def fail(*_, **__):
        raise AssertionError("a gradient was formed")

    monkeypatch.setattr(
        chunks, "_accumulate", lambda totals, *_, **__: fail() if any(t is not None for t in totals) else None
    )
    monkeypatch.setattr(block.agnostic, "cross_entropy_with_gradient", fail)
    with grad_mode():
        value = LOSSES["every option"](*layer())
    assert not value.requires_grad


@pytest.mark.parametrize("name", ["weight", "sample_weight", "target", "denominator"])
def test_17_derivatives_by_all_that_requires_grad(name) -> None:
    x, w, b = layer()
    given = {"weight": CLASSES, "sample_weight": ROWS, "target": SOFT, "denominator": torch.tensor(3.0, dtype=DOUBLE)}
    leaf = given[name].clone().requires_grad_()

    def loss(x, w, leaf):
        own = {**given, name: leaf}
        return crossent.linear_cross_entropy(x, w, own.pop("target"), linear_bias=b.detach(), check=False, **own)

    assert gradcheck(loss, (x, w, leaf), check_forward_ad=True)


@pytest.mark.parametrize("name", NAMES)
def test_18_functional_transforms_agree_with_autograd(name) -> None:
    x, w, b = (part.detach() for part in layer())
    for place in range(3):

        def loss(part, place=place):
            return LOSSES[name](*(part if k == place else leaf for k, leaf in enumerate((x, w, b))))

        part = (x, w, b)[place]
        (wanted,) = torch.autograd.grad(loss(leaf := part.clone().requires_grad_()), leaf)
        direction = torch.randn(part.shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(9))
        torch.testing.assert_close(grad(loss)(part), wanted)
        torch.testing.assert_close(jacrev(loss)(part), wanted)
        torch.testing.assert_close(jacfwd(loss)(part), wanted)
        torch.testing.assert_close(vjp(loss, part)[1](torch.ones((), dtype=DOUBLE))[0], wanted)
        torch.testing.assert_close(jvp(loss, (part,), (direction,))[1], (wanted * direction).sum())
        second = hessian(loss)(part).reshape(part.numel(), -1)
        torch.testing.assert_close(second, second.T, atol=1e-9, rtol=1e-6)


def test_18_dual_numbers() -> None:
    x, w, b = (part.detach() for part in layer())
    direction = random(N, D, seed=8)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(LOSSES["index"](forward_ad.make_dual(x, direction), w, b)).tangent
    torch.testing.assert_close(found, jvp(lambda x: plain(x, w, b), (x,), (direction,))[1])
    assert found.item() != 0


def test_18_per_sample_gradients() -> None:
    x, w, b = (part.detach() for part in layer())
    y = INDEX.clamp(min=0)

    def one(w, x, y):
        return crossent.linear_cross_entropy(x, w, y, linear_bias=b)

    batched = vmap(grad(one), in_dims=(None, 0, 0))(w, x, y)
    for k in range(N):
        torch.testing.assert_close(batched[k], grad(one)(w, x[k], y[k]))


def test_18_an_infinite_bias_beside_an_ignored_row() -> None:
    x, w, b = layer(torch.float32)
    with torch.no_grad():
        b[0] = -torch.inf
    y = torch.tensor([1, 2, 4, -100, 1, 3])
    loss = crossent.linear_cross_entropy(x, w, y, linear_bias=b, chunk_size=4)
    loss.backward()
    keep = y != -100
    wanted = F.cross_entropy(F.linear(x[keep], w[1:], b[1:]), y[keep] - 1)
    torch.testing.assert_close(loss, wanted)
    assert all(torch.isfinite(leaf.grad).all() for leaf in (x, w, b))


@pytest.mark.parametrize("way", ["chunks", "whole"])
@pytest.mark.parametrize("stats", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_12_what_an_ignored_row_holds_reaches_nothing(reduction, stats, way, monkeypatch) -> None:
    if way == "whole":
        monkeypatch.setattr(torch_linear, "SMALL", 10**9)
    check_that_ignored_rows_reach_nothing(reduction, stats)


def check_that_ignored_rows_reach_nothing(reduction: str, stats: bool) -> None:
    """NaN and infinity in rows that do not count, against zeros in their place."""
    ours, theirs = layer(), layer()
    with torch.no_grad():
        ours[0][3], theirs[0][3] = torch.nan, 0.0
        ours[0][5] = torch.inf
        theirs[0][5] = 0.0
    rows = torch.tensor([1.0, 2.0, 0.5, 1.0, 1.0, 0.0], dtype=DOUBLE)
    given = {"sample_weight": rows, "reduction": reduction, "z_loss": 0.1}
    loss = LOSSES["index"](*ours, return_stats=stats, **given)
    loss = loss[0] if stats else loss
    wanted = plain(*theirs, **given)
    torch.testing.assert_close(loss, wanted)
    loss.sum().backward()
    wanted.sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert not ours[0].grad[3].any()


def test_12_the_same_where_the_host_cannot_count_the_rows(monkeypatch) -> None:
    """On a GPU the rows stay and are selected away."""
    selected, select = [], chunks._select
    monkeypatch.setattr(chunks, "active", lambda counts: None)
    monkeypatch.setattr(passes, "_of_those", lambda head, counts: head)
    monkeypatch.setattr(block, "_on_host", lambda x: False)
    monkeypatch.setattr(chunks, "_select", lambda mask, x: selected.append(len(x)) or select(mask, x))
    for reduction in ("mean", "none"):
        selected.clear()
        check_that_ignored_rows_reach_nothing(reduction, stats=False)
        assert sum(selected) >= N  # once for each walk over the chunks


def test_12_ignored_rows_cost_no_product(monkeypatch) -> None:
    rows = []
    logits = chunks.products.logits
    monkeypatch.setattr(chunks.products, "logits", lambda x, *rest: (rows.append(len(x)), logits(x, *rest)))
    LOSSES["index"](*layer()).backward()
    assert sum(rows) == 5
    rows.clear()
    upstream = torch.tensor([0.0, 1, 0, 1, 2, 0], dtype=DOUBLE)
    loss = LOSSES["index"](*layer(), reduction="none")
    rows.clear()
    loss.backward(upstream)
    assert sum(rows) == 2


def test_19_micro_batches_with_the_batch_denominator() -> None:
    x, w, b = layer()
    whole = torch.autograd.grad(LOSSES["index"](x, w, b), w)[0]
    parts = 0
    for half, y in ((slice(0, 2), INDEX[:2]), (slice(2, 6), INDEX[2:])):
        loss = crossent.linear_cross_entropy(
            x[half], w, y, linear_bias=b, denominator=(INDEX != -100).sum(), chunk_size=2
        )
        parts = parts + torch.autograd.grad(loss, w)[0]
    torch.testing.assert_close(parts, whole)


def test_08_the_cap_comes_before_the_mask() -> None:
    x, w, b = layer()
    w.data[4] = 1e4 * w.data[4]
    where = torch.tensor([True, True, True, True, False])
    y = torch.tensor([2, 0, 3, -100, 1, 3])
    found = crossent.linear_cross_entropy(x, w, y, linear_bias=b, softcap=2.0, where=where, chunk_size=4)
    wanted = crossent.linear_cross_entropy(x, w[:4], y, linear_bias=b[:4], softcap=2.0, chunk_size=4)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_07_sixteen_bits_are_no_worse_than_torch_over_many_chunks(dtype) -> None:
    """Chunks summed in bfloat16 drift: of 64 chunks of 32 rows the sum would be off by per cents."""
    n, d, c = 2048, 32, 96
    x, w, b = random(n, d, dtype=dtype), random(c, d, seed=1, dtype=dtype) / 4, random(c, seed=2, dtype=dtype)
    y = torch.arange(n) % c
    scale = 1024.0

    def run(loss, x, w, b):
        leaves = [part.detach().clone().requires_grad_() for part in (x, w, b)]
        value = loss(*leaves)
        (value * scale).backward()
        return [value.detach().double(), *(leaf.grad.double() / scale for leaf in leaves)]

    exact = run(lambda x, w, b: F.cross_entropy(F.linear(x, w, b), y), x.double(), w.double(), b.double())
    theirs = run(lambda x, w, b: F.cross_entropy(F.linear(x, w, b), y), x, w, b)
    for size in (32, 512, None):
        ours = run(
            lambda x, w, b, size=size: crossent.linear_cross_entropy(x, w, y, linear_bias=b, chunk_size=size), x, w, b
        )
        for one, other, truth in zip(ours, theirs, exact, strict=True):
            unit = torch.finfo(dtype).eps * truth.norm()
            assert (one - truth).norm() <= (other - truth).norm() + unit / 4


# --- what else a training loop does ---


@pytest.mark.parametrize("name", [n for n in NAMES if "statistics" not in n])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_compiles_without_a_graph_break_and_stays_in_chunks(name, reduction) -> None:
    torch.compiler.reset()
    graphs = []

    def backend(module, inputs):
        graphs.append(module)
        return torch._dynamo.lookup_backend("aot_eager")(module, inputs)

    options = {} if name == "denominator" else {"reduction": reduction}
    compiled = torch.compile(lambda *p: LOSSES[name](*p, **options), fullgraph=True, backend=backend)
    ours, theirs = layer(), layer()
    value, wanted = compiled(*ours), LOSSES[name](*theirs, **options)
    torch.testing.assert_close(value, wanted)
    cotangent = torch.rand_like(value)
    value.backward(cotangent)
    wanted.backward(cotangent)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert any("linear_cross_entropy" in str(node.target) for node in graphs[0].graph.nodes)


@pytest.mark.parametrize("name", [n for n in NAMES if "statistics" in n])
def test_statistics_compile(name) -> None:
    torch.compiler.reset()
    ours, theirs = layer(), layer()
    value = torch.compile(LOSSES[name], fullgraph=True, backend="aot_eager")(*ours)
    wanted = LOSSES[name](*theirs)
    torch.testing.assert_close(value, wanted)
    value.backward()
    wanted.backward()
    torch.testing.assert_close(ours[1].grad, theirs[1].grad)


def test_compiles_with_dynamic_shapes() -> None:
    torch.compiler.reset()
    compiled = torch.compile(crossent.linear_cross_entropy, fullgraph=True, dynamic=True, backend="aot_eager")
    for n, d, c in ((4, 3, 5), (7, 2, 9), (3, 4, 2)):
        x, w, y = random(n, d), random(c, d), torch.arange(n) % c
        torch.testing.assert_close(compiled(x, w, y), F.cross_entropy(x @ w.T, y))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_compiles_with_inductor(name) -> None:
    torch.compiler.reset()
    ours, theirs = layer(), layer()
    value = torch.compile(LOSSES[name], fullgraph=True)(*ours)
    wanted = LOSSES[name](*theirs)
    torch.testing.assert_close(value, wanted)
    value.backward()
    wanted.backward()
    torch.testing.assert_close(ours[1].grad, theirs[1].grad)


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("bias", [False, True])
def test_opcheck(reduction, bias) -> None:
    from crossent._call.options import Options
    from crossent._door import layer as door
    from crossent._torch import linear_compiled

    x, w, b = layer(torch.float32)
    options = Options(
        reduction=reduction, chunk_size=4, z_loss=0.1, linear_bias=b if bias else None, weight=CLASSES.float()
    )
    call = linear_compiled._call(door.layer("linear_cross_entropy", x, w, INDEX, options), (True, True, bias))
    library.opcheck(torch.ops.crossent.linear_cross_entropy.default, call)
    if reduction == "none":
        call = [part.detach() if isinstance(part, torch.Tensor) else part for part in call]
        library.opcheck(torch.ops.crossent.linear_cross_entropy_rows.default, (torch.rand(N), *call))


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("features", [torch.float32, torch.bfloat16])
def test_autocast_multiplies_in_bfloat16_and_gives_gradients_of_the_parameters_dtype(features, reduction) -> None:
    ours, theirs = layer(torch.float32), layer(torch.float32)
    ours[0], theirs[0] = (part[0].detach().to(features).requires_grad_() for part in (ours, theirs))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, wanted = LOSSES["index"](*ours, reduction=reduction), plain(*theirs, reduction=reduction)
    assert value.dtype == wanted.dtype == torch.float32
    torch.testing.assert_close(value, wanted)
    value.sum().backward()
    wanted.sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        assert one.grad.dtype == one.dtype
        torch.testing.assert_close(one.grad, other.grad, atol=1e-2, rtol=2e-2)
    if reduction == "mean" and features == torch.float32:
        assert not torch.equal(ours[1].grad, ours[1].grad.bfloat16().float())


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_activation_checkpointing(reduction, reentrant) -> None:
    ours, theirs = layer(), layer()
    checkpoint(lambda *p: LOSSES["index"](*p, reduction=reduction), *ours, use_reentrant=reentrant).sum().backward()
    plain(*theirs, reduction=reduction).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_saved_tensors_may_be_kept_elsewhere() -> None:
    ours, theirs = layer(), layer()
    with torch.autograd.graph.save_on_cpu():
        loss = LOSSES["index"](*ours)
    loss.backward()
    plain(*theirs).backward()
    torch.testing.assert_close(ours[1].grad, theirs[1].grad)


def test_a_gradient_is_taken_over_without_a_copy() -> None:
    """The memory of the weight's gradient is the one that the chunks were summed in."""
    x, w, b = layer()
    made = []
    totals = chunks._totals
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_totals", lambda *a, **k: (made.append(out := totals(*a, **k)), out)[1])
        loss = LOSSES["index"](x, w, b)
    place = made.pop()[1].data_ptr()
    loss.backward()
    assert w.grad.data_ptr() == place


def test_tied_embeddings() -> None:
    def run(loss) -> torch.Tensor:
        table = torch.nn.Embedding(C, D, dtype=DOUBLE)
        with torch.no_grad():
            table.weight.copy_(random(C, D, seed=5))
        loss(table(INDEX.clamp(min=0)).tanh(), table.weight).backward()
        return table.weight.grad

    ours = run(lambda x, w: crossent.linear_cross_entropy(x, w, INDEX, chunk_size=4))
    torch.testing.assert_close(ours, run(lambda x, w: F.cross_entropy(x @ w.T, INDEX)))


@pytest.mark.parametrize("shift", [1, 3])
def test_shift_is_the_narrowed_call_and_copies_no_features(shift, monkeypatch) -> None:
    x, w, _ = random(3, 5, D), random(C, D, seed=1), None
    y = torch.arange(15).reshape(3, 5) % C
    seen = []
    logits = chunks.products.logits
    monkeypatch.setattr(chunks.products, "logits", lambda part, *rest: (seen.append(len(part)), logits(part, *rest)))
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    loss = crossent.linear_cross_entropy(leaf, w, y, shift=shift, chunk_size=4, reduction="none")
    assert loss.shape == (3, 5 - shift)
    assert max(seen) <= 4
    wanted = F.cross_entropy((other[:, :-shift] @ w.T).movedim(-1, 1), y[:, shift:], reduction="none")
    torch.testing.assert_close(loss, wanted)
    loss.sum().backward()
    wanted.sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)


def test_per_sample_gradients_of_a_model() -> None:
    model = torch.nn.Linear(D, D).double()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    w = random(C, D, seed=1)

    def one(parameters, x, y):
        return crossent.linear_cross_entropy(functional_call(model, parameters, (x[None],)), w, y[None])

    x, y = random(N, D), INDEX.clamp(min=0)
    batched = vmap(grad(one), in_dims=(None, 0, 0))(parameters, x, y)
    for name, value in grad(one)(parameters, x[1], y[1]).items():
        torch.testing.assert_close(batched[name][1], value)


# --- memory ---


def test_the_logits_are_never_whole(monkeypatch) -> None:
    sizes = []
    make = chunks.products.buffer
    monkeypatch.setattr(
        chunks.products, "buffer", lambda like, shape, *r, **k: (sizes.append(shape), make(like, shape, *r, **k))[1]
    )
    x, w = random(1000, 4, dtype=torch.float32).requires_grad_(), random(20_000, 4, seed=1, dtype=torch.float32)
    crossent.linear_cross_entropy(x, w, torch.arange(1000)).backward()
    rows = [shape[0] for shape in sizes if shape[-1] == 20_000 and len(shape) == 2]
    assert rows
    assert max(rows) * 20_000 * 4 <= chunks.BUDGET


@pytest.mark.parametrize("size", [1, 3, None])
def test_numpy_agrees_with_torch(size) -> None:
    x, w, b = layer()
    value, gradients = crossent.linear_cross_entropy_with_grad(
        *(part.detach().numpy() for part in (x, w)),
        INDEX.numpy(),
        linear_bias=b.detach().numpy(),
        chunk_size=size,
        **OPTIONS,
    )
    wanted = plain(x, w, b, **OPTIONS)
    wanted.backward()
    np.testing.assert_allclose(value, wanted.item(), rtol=1e-12)
    for one, leaf in zip(gradients, (x, w, b), strict=True):
        np.testing.assert_allclose(one, leaf.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_a_module_keeps_its_options_when_copied() -> None:
    loss = crossent.nn.LinearCrossEntropyLoss(D, C, bias=True, z_loss=0.1, chunk_size=4).double()
    again = copy.deepcopy(loss)
    torch.testing.assert_close(again(random(N, D), INDEX), loss(random(N, D), INDEX))
