"""What rows tell when more is asked, and log-probabilities of chosen classes: every library, layers, derivatives."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import crossent
from crossent.errors import ClassIndexError, DtypeError, MisuseWarning, OptionError, ShapeError

OPTIONS: list[dict[str, Any]] = [
    {},
    {"softcap": 3.0},
    {"temperature": 0.7},
    {"logit_scale": 0.3, "softcap": 5.0, "temperature": 2.0},
]


def case(rows: int = 6, classes: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and targets of which one is ignored."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, rows)
    y[2] = -100
    return random.normal(size=(rows, classes)) * 4, y


def final(x: np.ndarray, softcap: float | None = None, temperature: float = 1.0, logit_scale: float = 1.0) -> Any:
    """The logits after the options, in NumPy's widest numbers."""
    z = np.asarray(x, np.longdouble) * logit_scale
    z = z if softcap is None else softcap * np.tanh(z / softcap)
    return z / temperature


def log_softmax(z: np.ndarray) -> np.ndarray:
    """The definition."""
    m = z.max(-1, keepdims=True)
    return (z - m) - np.log(np.exp(z - m).sum(-1, keepdims=True))


def told(z: np.ndarray, y: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """What `extra` and `top_k` should say."""
    log_p = log_softmax(z)
    order = np.argsort(-z, axis=-1, kind="stable")[..., :k]
    return {
        "log_sum_sq_probs": np.log(np.exp(2 * log_p).sum(-1)),
        "mean_logits": z.mean(-1),
        "is_top1": z.argmax(-1) == y,
        "top_k_log_probs": np.take_along_axis(log_p, order, -1),
        "top_k_indices": order,
    }


@pytest.mark.parametrize("options", OPTIONS[::3], ids=str)
def test_more_of_each_row(backend: Any, options: dict[str, Any]) -> None:
    x, y = case()
    for dtype in backend.dtypes:
        array = backend.array(x, dtype)
        stats = crossent.row_stats(array, backend.array(y), extra=True, top_k=3, **options)
        plain = crossent.row_stats(array, backend.array(y), **options)
        for name, value in plain._asdict().items():
            np.testing.assert_array_equal(backend.numpy(getattr(stats, name)), backend.numpy(value))
        near = {"rtol": {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-6, "float64": 1e-12}[dtype], "atol": 1e-7}
        near["atol"] = 5e-7 if backend.name == "mlx" else near["atol"]  # which sums in float32
        for name, value in told(final(backend.numpy(array), **options), y, 3).items():
            found = getattr(stats, name)
            np.testing.assert_allclose(backend.numpy(found), value.astype(float), err_msg=name, **near)
            assert backend.dtype_of(found) in (("bool", "int64", "int32") if value.dtype.kind in "bi" else (dtype,))


def test_only_what_is_asked_for(backend: Any) -> None:
    x, y = case()
    x, y = backend.array(x, "float32"), backend.array(y)
    stats = crossent.row_stats(x, y)
    assert type(stats) is crossent.RowStats
    with pytest.raises(AttributeError, match=r"RowStats has no mean_logits, .*: give extra=True"):
        _ = stats.mean_logits
    with pytest.raises(AttributeError, match=r"RowStats has no top_k_indices, .*: give top_k=…"):
        _ = stats.top_k_indices
    assert not hasattr(stats, "is_top1")
    assert crossent.row_stats(x, y, extra=True).top_k_indices is None
    assert crossent.row_stats(x, y, top_k=2).mean_logits is None
    assert crossent.row_stats(x, extra=True).is_top1 is None


def test_soft_targets_and_other_axes() -> None:
    x, _ = case()
    q = np.exp(log_softmax(x))[:, ::-1]
    stats = crossent.row_stats(x, np.ascontiguousarray(q), extra=True)
    np.testing.assert_array_equal(stats.is_top1, x.argmax(-1) == q.argmax(-1))
    x = np.random.default_rng(1).normal(size=(2, 5, 3))
    stats = crossent.row_stats(x, extra=True, top_k=2)
    assert stats.top_k_indices.shape == (2, 3, 2)
    np.testing.assert_allclose(stats.mean_logits, x.mean(1))
    np.testing.assert_array_equal(stats.top_k_indices[..., 0], x.argmax(1))


def test_classes_that_do_not_exist(backend: Any) -> None:
    x, y = case()
    y[y == 8] = 0
    mask = np.arange(9) < 8
    array, target = backend.array(x, "float64"), backend.array(np.minimum(y, 7))
    own = crossent.row_stats(array, target, where=backend.array(mask), extra=True, top_k=9, temperature=0.5)
    wanted = crossent.row_stats(x[:, :8], np.minimum(y, 7), extra=True, top_k=8, temperature=0.5)
    for name in ("log_sum_sq_probs", "mean_logits", "is_top1"):
        np.testing.assert_allclose(backend.numpy(getattr(own, name)), getattr(wanted, name), rtol=1e-12)
    found = backend.numpy(own.top_k_log_probs)
    np.testing.assert_allclose(found[:, :8], wanted.top_k_log_probs, rtol=1e-12)
    assert (found[:, 8] == -np.inf).all()


@pytest.mark.filterwarnings("ignore::crossent.errors.MisuseWarning")
def test_infinite_rows(backend: Any) -> None:
    """A class of −∞ has no part in Σ p²; a row of −∞, +∞ or NaN is NaN, and no other."""
    x = np.array([[1.0, -np.inf, 0.0], [-np.inf] * 3, [np.inf, 0, 0], [np.nan, 0, 0], [1e6, 1e6 + 1, 1e6 - 1]])
    stats = crossent.row_stats(backend.array(x, "float32"), extra=True, top_k=3)
    found = backend.numpy(stats.log_sum_sq_probs)
    p = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(found[0], np.log(p**2 + (1 - p) ** 2), rtol=1e-6)
    assert np.isnan(found[1:4]).all()
    e = np.exp([0.0, 1, -1])
    np.testing.assert_allclose(found[4], np.log((e**2).sum() / e.sum() ** 2), rtol=1e-6)
    assert backend.numpy(stats.mean_logits)[0] == -np.inf
    assert backend.numpy(stats.mean_logits)[4] == 1e6
    assert backend.numpy(stats.top_k_log_probs)[0, 2] == -np.inf


def test_a_certain_row_keeps_its_digits(backend: Any) -> None:
    x = backend.array([[20.0, 0.0, 0.0]], "float32")
    own = backend.numpy(crossent.row_stats(x, extra=True).log_sum_sq_probs)
    e = np.exp(np.longdouble(-20))
    np.testing.assert_allclose(own, float(np.log1p(2 * e * e) - 2 * np.log1p(2 * e)), rtol=1e-6)


@given(arrays.arrays(np.float64, (3, 5), elements=st.floats(-30, 30)))
def test_the_sum_of_squares_between_its_bounds(x: np.ndarray) -> None:
    """1/C ≤ Σ p² ≤ max p, with equality for an even row and a certain one."""
    stats = crossent.row_stats(x, extra=True, top_k=5)
    assert (stats.log_sum_sq_probs >= -np.log(5) - 1e-12).all()
    assert (stats.log_sum_sq_probs <= stats.top_k_log_probs[:, 0] + 1e-12).all()
    np.testing.assert_allclose(np.exp(stats.top_k_log_probs).sum(1), 1)


def test_derivatives(differentiating: Any) -> None:
    backend, (x, _) = differentiating, case()
    x[1] = [40, 0, 1, 2, 3, 4, 5, 6, 7]
    p = np.exp(log_softmax(x.astype(np.longdouble)))
    own, size = 2 * p * p / (p * p).sum(-1, keepdims=True), x.shape[-1]
    derivative = {
        "log_sum_sq_probs": own - 2 * p,
        "mean_logits": np.full_like(p, 1 / size),
        "top_k_log_probs": 3 * (np.arange(9) == x.argmax(-1)[:, None]) - 3 * p,
    }
    for name, wanted in derivative.items():
        if name == "top_k_log_probs":
            g, three = np.zeros((6, 2)), {"top_k": 2}
            g[:, 0] = 3
        else:
            g, three = np.ones(6), {"extra": True}
        _, found = backend.gradient(
            lambda z, name=name, three=three: getattr(crossent.row_stats(z, **three), name),
            backend.array(x, "float64"),
            g,
        )
        np.testing.assert_allclose(backend.numpy(found), wanted.astype(float), rtol=1e-9, atol=1e-15, err_msg=name)


def test_second_derivatives_and_transforms() -> None:
    x = torch.tensor(case(3, 4)[0], requires_grad=True)

    def value(z: torch.Tensor) -> torch.Tensor:
        stats = crossent.row_stats(z, extra=True, top_k=2)
        return stats.log_sum_sq_probs.sum() + (stats.top_k_log_probs * stats.mean_logits[..., None]).sum()

    assert torch.autograd.gradcheck(value, x)
    assert torch.autograd.gradgradcheck(value, x)
    each = torch.func.vmap(torch.func.grad(value))(x.detach())
    torch.testing.assert_close(each, torch.autograd.grad(value(x), x)[0])
    tangent = torch.randn_like(x)
    _, along = torch.func.jvp(value, (x.detach(),), (tangent,))
    torch.testing.assert_close(along, (each * tangent).sum())
    compiled = torch.compile(value, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(torch.autograd.grad(compiled(x), x)[0], each)


# --- layers ---


def layer(rows: int, classes: int, dtype: Any = torch.float64) -> list[torch.Tensor]:
    """x, W, b, each with a gradient."""
    torch.manual_seed(3)
    shapes = ((rows, 8), (classes, 8), (classes,))
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("size", [(7, 11), (300, 307)], ids=["small", "chunks"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_layers_tell_the_same(size: tuple[int, int], options: dict[str, Any]) -> None:
    x, w, b = layer(*size)
    y = torch.randint(0, size[1], size[:1])
    y[1] = -100
    more = {"extra": True, "top_k": 3, **options}
    own = crossent.linear_row_stats(x, w, y, linear_bias=b, chunk_size=64, **more)
    wanted = crossent.row_stats(x @ w.T + b, y, **more)
    beside = crossent.linear_cross_entropy(x, w, y, linear_bias=b, chunk_size=64, return_stats=True, **more)[1]
    as_numpy = [part.detach().numpy() for part in (x, w, y, b)]
    numpy = crossent.linear_row_stats(*as_numpy[:3], linear_bias=as_numpy[3], chunk_size=64, **more)
    for name, value in wanted._asdict().items():
        torch.testing.assert_close(getattr(own, name), value, msg=name)
        torch.testing.assert_close(getattr(beside, name), value, msg=name)
        np.testing.assert_allclose(getattr(numpy, name), value.detach().numpy(), rtol=1e-9, err_msg=name)
    alone = crossent.linear_row_stats(x, w, linear_bias=b, chunk_size=64, **more)
    torch.testing.assert_close(alone.mean_logits, wanted.mean_logits)
    assert alone.is_top1 is None

    def pulled(stats: Any) -> torch.Tensor:
        parts = [part for part in stats if part.is_floating_point()]
        return sum((part * torch.linspace(-1, 1, part.numel()).reshape(part.shape)).sum() for part in parts)

    for one, two in zip(*(torch.autograd.grad(pulled(stats), (x, w, b)) for stats in (own, wanted)), strict=True):
        torch.testing.assert_close(one, two)


def test_a_layer_s_own_gradient_is_beside_that_of_its_statistics() -> None:
    x, w, b = layer(300, 307)
    y = torch.randint(0, 307, (300,))
    loss, stats = crossent.linear_cross_entropy(x, w, y, linear_bias=b, return_stats=True, extra=True, top_k=2)
    z = x @ w.T + b
    plain = crossent.row_stats(z, extra=True, top_k=2)
    found = torch.autograd.grad(loss + stats.log_sum_sq_probs.mean() + stats.top_k_log_probs.sum(), (x, w, b))
    value = crossent.cross_entropy(z, y) + plain.log_sum_sq_probs.mean() + plain.top_k_log_probs.sum()
    for one, two in zip(found, torch.autograd.grad(value, (x, w, b)), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("options", [*OPTIONS, {"label_smoothing": 0.1, "z_loss": 0.01, "poly1_epsilon": 0.5}], ids=str)
def test_policy_losses_of_a_layer(options: dict[str, Any], dtype: Any) -> None:
    """The gradients by loss, entropy and log-probability, alone and together, by the kernels; one class has no mass."""
    x, w, b = layer(300, 307, dtype)
    with torch.no_grad():
        x[5] = 30 * w[7] / w[7].norm()
        b[3] = -torch.inf
    y, weight = torch.randint(4, 307, (300,)), torch.rand(300, dtype=torch.float64)
    y[1] = -100
    exact = [part.detach().double().requires_grad_() for part in (x, w, b)]
    more = {"extra": True, **options}
    given = {} if "softcap" in options else {"linear_bias": b}  # a soft-cap would bring the class back
    own = crossent.linear_row_stats(x, w, y, chunk_size=64, dtype="wide", check=False, **given, **more)
    z = exact[0] @ exact[1].T
    smoothing = "label_smoothing" in options  # over a class without mass the loss is infinite
    if given and not smoothing:
        z = z + exact[2]
    elif smoothing:
        own = crossent.linear_row_stats(x, w, y, chunk_size=64, dtype="wide", **more)
    wanted = crossent.row_stats(z, y, check=False, **more)
    near = {"rtol": 1e-9, "atol": 1e-12} if dtype is torch.float64 else {"rtol": 1e-4, "atol": 1e-4}
    for names in (
        ("entropy",),
        ("target_log_prob",),
        ("loss", "entropy", "target_log_prob", "lse"),
        ("lse", "mean_logits"),
        ("lse", "confidence"),
    ):
        found, right = (
            torch.autograd.grad(sum((getattr(s, name) * weight).sum() for name in names), parts, retain_graph=True)
            for s, parts in ((own, (x, w)), (wanted, exact[:2]))
        )
        for one, two in zip(found, right, strict=True):
            assert torch.isfinite(one).all()
            if dtype is torch.bfloat16:  # the logits are rounded to eight bits
                assert (one.double() - two).norm() < 0.05 * two.norm(), names
            else:
                torch.testing.assert_close(one.double(), two, msg=f"{names}", **near)


def test_what_cannot_be_asked() -> None:
    x, y = case()
    with pytest.raises(OptionError, match=r"top_k=10, but there are 9 classes — in row_stats"):
        crossent.row_stats(x, y, top_k=10)
    for wrong in (0, -1, 2.0, True, "3"):
        with pytest.raises(OptionError, match=r"row_stats: top_k=.*, expected None or a positive whole number"):
            crossent.row_stats(x, y, top_k=wrong)
    with pytest.raises(OptionError, match=r"extra='yes', expected one of True, False"):
        crossent.row_stats(x, y, extra="yes")
    with pytest.raises(OptionError, match=r"linear_cross_entropy: extra=True tells more .* needs return_stats=True"):
        crossent.linear_cross_entropy(x, x, y, extra=True)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'top_k'"):
        crossent.cross_entropy(x, y, top_k=2)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'extra'"):
        crossent.linear_cross_entropy_with_grad(x, x, y, extra=True)


# --- selective_log_softmax ---

KINDS = list(itertools.product([(), (3,), (2, 4)], [None, 1, 5]))


@pytest.mark.parametrize(("batch", "count"), KINDS, ids=str)
@pytest.mark.parametrize("options", OPTIONS[::3], ids=str)
def test_log_probabilities_of_chosen_classes(
    backend: Any, options: dict[str, Any], batch: tuple[int, ...], count: int | None
) -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=(*batch, 7)) * 4
    index = random.integers(0, 7, batch if count is None else (*batch, count))
    array = backend.array(x, "float32")
    own = crossent.selective_log_softmax(array, backend.array(index), **options)
    log_p = log_softmax(final(backend.numpy(array), **options))
    wanted = np.take_along_axis(log_p, index.reshape(*batch, -1), -1).reshape(index.shape)
    assert backend.dtype_of(own) == "float32"
    np.testing.assert_allclose(backend.numpy(own), wanted.astype(float), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("several", [False, True])
def test_derivatives_of_log_probabilities(differentiating: Any, several: bool) -> None:
    backend, (x, y) = differentiating, case()
    x[0, y[0]] = 60  # p = 1
    index = np.stack([y, np.where(y < 0, y, (y + 1) % 9)], -1) if several else y
    g = np.random.default_rng(5).normal(size=index.shape)
    _, found = backend.gradient(
        lambda z: crossent.selective_log_softmax(z, backend.array(index)), backend.array(x, "float64"), g
    )
    p, wanted = np.exp(log_softmax(x.astype(np.longdouble))), np.zeros(x.shape)
    for row, column in np.ndindex(*index.reshape(6, -1).shape):
        own = index.reshape(6, -1)[row, column]
        if own >= 0:
            others = np.where(np.arange(9) == own, 0, p[row])
            wanted[row] += g.reshape(6, -1)[row, column] * np.where(np.arange(9) == own, others.sum(), -others)
    np.testing.assert_allclose(backend.numpy(found), wanted, rtol=1e-8, atol=1e-26 if not several else 1e-15)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("size", [(7, 11), (300, 307)], ids=["small", "chunks"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_from_hidden_states(
    options: dict[str, Any], size: tuple[int, int], several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, w, b = layer(*size)
    index = torch.randint(0, size[1], (size[0], 4) if several else size[:1])
    index[1] = -100
    with torch.no_grad():
        x[1] = torch.nan  # of a row that is ignored nothing reaches the weights
    given = {"linear_bias": b, "chunk_size": 64, **options}
    monkeypatch.setattr("crossent._torch.linear.SMALL", 100)
    own = crossent.selective_log_softmax(x, index, w, **given)
    counted = torch.where(index.reshape(size[0], -1)[:, :1] < 0, 0.0, x)
    wanted = crossent.selective_log_softmax(counted @ w.T + b, index, **options)
    torch.testing.assert_close(own, wanted)
    assert (own[1] == 0).all()
    g = torch.randn_like(own)
    found, right = (torch.autograd.grad((value * g).sum(), (x, w, b)) for value in (own, wanted))
    for one, two in zip(found, right, strict=True):
        torch.testing.assert_close(one, two)
    parts = [part.detach().numpy() for part in (x, index, w)]
    numpy = crossent.selective_log_softmax(*parts, **given | {"linear_bias": b.detach().numpy()})
    np.testing.assert_allclose(numpy, own.detach().numpy(), rtol=1e-9)


def test_no_logits_are_formed(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 × 307 numbers are nowhere at once, forward and backward."""
    x, w, b = layer(300, 307)
    largest = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = function(*args, **(kwargs or {}))
            parts = [part for part in torch.utils._pytree.tree_leaves(found) if torch.is_tensor(part)]
            largest.extend(part.untyped_storage().nbytes() // 8 for part in parts)
            return found

    monkeypatch.setattr("crossent._torch.state._modes", lambda *_: 0)  # a mode takes the definition elsewise
    for index in (torch.randint(0, 307, (300,)), torch.randint(0, 307, (300, 2))):
        with Sizes():
            crossent.selective_log_softmax(x, index, w, linear_bias=b, chunk_size=16).sum().backward()
    assert largest
    assert max(largest) < 300 * 307 / 4


@pytest.mark.filterwarnings("ignore::crossent.errors.MisuseWarning")
@pytest.mark.parametrize("several", [False, True])
def test_ignored_and_infinite(backend: Any, several: bool) -> None:
    x = np.array([[0.0, 1.0, -np.inf], [np.nan] * 3, [np.nan, 0, 0], [0, 0, 0]])
    y = np.array([2, -100, 0, 5])
    index = np.stack([y, y], 1) if several else y
    own = backend.numpy(crossent.selective_log_softmax(backend.array(x[:3], "float32"), backend.array(index[:3])))
    np.testing.assert_array_equal(own[0], -np.inf)
    np.testing.assert_array_equal(own[1], 0)
    assert np.isnan(own[2]).all()
    other = crossent.selective_log_softmax(backend.array(x[3:], "float32"), backend.array(index[3:]), ignore_index=5)
    np.testing.assert_array_equal(backend.numpy(other), 0)
    masked = crossent.selective_log_softmax(
        backend.array(x[3:], "float32"), backend.array(0 * index[3:]), where=backend.array([True, True, False])
    )
    np.testing.assert_allclose(backend.numpy(masked), -np.log(2), rtol=1e-6)


def test_integers_of_every_kind_and_lists() -> None:
    x, _ = case()
    for dtype in ("int8", "uint8", "int32", "uint64"):
        index = np.arange(6).astype(dtype)
        np.testing.assert_allclose(crossent.selective_log_softmax(x, index), np.diag(log_softmax(x)))
        np.testing.assert_allclose(crossent.selective_log_softmax(x, index[:, None])[:, 0], np.diag(log_softmax(x)))
    np.testing.assert_allclose(crossent.selective_log_softmax([[0.0, 0.0]], [1]), -np.log(2))
    np.testing.assert_allclose(crossent.selective_log_softmax([0.0, 0.0], 1), -np.log(2))


def test_under_compile_and_jit() -> None:
    x, w, _ = layer(5, 7, torch.float32)
    compiled = torch.compile(crossent.selective_log_softmax, backend="aot_eager", fullgraph=True)
    for index in (torch.randint(0, 7, (5,)), torch.randint(0, 7, (5, 2))):
        for parts in (((x @ w.T).detach(), index), (x, index, w)):
            torch.testing.assert_close(compiled(*parts), crossent.selective_log_softmax(*parts))
    jax = pytest.importorskip("jax")
    arrays_ = [jax.numpy.asarray(part.detach().numpy()) for part in (x, index, w)]
    found = jax.jit(crossent.selective_log_softmax)(*arrays_)
    torch.testing.assert_close(torch.tensor(np.array(found)), crossent.selective_log_softmax(x, index, w).detach())


def test_what_cannot_be_selected() -> None:
    x, _ = case()
    call = r" — in selective_log_softmax\(input float64 \(6, 9\), index int64"
    for shape in ((5,), (5, 2), (6, 2, 2), ()):
        with pytest.raises(ShapeError, match=rf"index has shape .*, expected \(6,\) or \(6, K\).*{call}"):
            crossent.selective_log_softmax(x, np.zeros(shape, int))
    with pytest.raises(ClassIndexError, match=rf"index holds 9 at position \(0, 1\), but there are 9 classes.*{call}"):
        crossent.selective_log_softmax(x, np.tile([[0, 9]], (6, 1)))
    with pytest.raises(ClassIndexError, match=r"index holds 7 at position 0, but there are 4 classes"):
        crossent.selective_log_softmax(x, np.full(6, 7), x[:4])
    with pytest.raises(DtypeError, match=r"index holds float64, expected class indices: use index.astype"):
        crossent.selective_log_softmax(x, np.zeros(6))
    with pytest.raises(OptionError, match=r"linear_bias belongs to a linear layer, but linear_weight is None"):
        crossent.selective_log_softmax(x, np.zeros(6, int), linear_bias=x[0])
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'tempurature': did you mean temperature"):
        crossent.selective_log_softmax(x, np.zeros(6, int), tempurature=2.0)
    with pytest.warns(MisuseWarning, match="X030 NaN among the scores"):
        crossent.selective_log_softmax(np.full((2, 3), np.nan), np.zeros(2, int))


def test_the_meaning_of_trl() -> None:
    utils = pytest.importorskip("trl.trainer.utils")
    for dtype, near in ((torch.float32, 2e-6), (torch.bfloat16, 4e-2)):
        z = (torch.randn(2, 5, 50) * 4).to(dtype)
        for index in (torch.randint(0, 50, (2, 5)), torch.randint(0, 50, (2, 5, 3))):
            one, two = (z.clone().requires_grad_() for _ in range(2))
            own = crossent.selective_log_softmax(one, index, temperature=0.9)
            wanted = utils.selective_log_softmax(two, index, temperature=0.9)
            torch.testing.assert_close(own, wanted, rtol=near, atol=near)
            own.sum().backward()
            wanted.sum().backward()
            torch.testing.assert_close(one.grad, two.grad, rtol=near, atol=near)
    torch.testing.assert_close(
        crossent.row_stats(z, axis=-1).entropy, utils.entropy_from_logits(z), rtol=near, atol=near
    )
