"""Rooms state what they take: an option that a room has not learnt sends the call to the definition."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import crossent
from crossent._call.canonical import Elements, Rows
from crossent._call.options import AROUND, TAKEN_BY_ROOMS, BinaryOptions, LossOptions, Options, validated
from crossent._door import rows as door
from crossent._torch import compiled, float64, linear_compiled
from crossent.backends import agnostic, cpu, triton
from crossent.backends.room import Room

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5)).astype(np.float32)
Y = np.array([0, 1, 2, 3, 4, 0])
CLASSES = RNG.uniform(0.5, 2, 5).astype(np.float32)


def rows(**options) -> Rows:
    given = validated("cross_entropy", options.pop("weight", None), options, LossOptions)
    return door.rows("cross_entropy", torch.tensor(X), torch.tensor(Y), given)


def elements() -> Elements:
    name = "binary_cross_entropy_with_logits"
    return door.binary(name, torch.tensor(X), torch.rand(6, 5), validated(name, None, {}, BinaryOptions))


SERVES = [
    pytest.param(cpu.serves, rows, id="cpu"),
    pytest.param(cpu.serves_binary, elements, id="cpu, binary"),
    pytest.param(triton.serves, rows, id="triton"),
    pytest.param(triton.serves, elements, id="triton, binary"),
    pytest.param(float64.serves, rows, id="float64"),
    pytest.param(float64.serves_binary, elements, id="float64, binary"),
    pytest.param(compiled.serves, rows, id="compiled"),
]


@pytest.mark.parametrize(("serves", "call"), SERVES)
def test_a_room_refuses_an_option_that_it_does_not_take(serves, call, monkeypatch) -> None:
    monkeypatch.setattr(cpu, "built", lambda: True)
    monkeypatch.setattr(compiled, "READY", True)
    before = serves(call()) or not cpu._extension.kernels()
    monkeypatch.setattr(Options, "asked", frozenset({"an option of tomorrow"}))
    assert before
    assert not serves(call())


def test_the_layer_in_a_graph_refuses_too(monkeypatch) -> None:
    layer = type("Layer", (), {"rows": rows()})()
    assert linear_compiled.serves(layer)
    monkeypatch.setattr(Options, "asked", frozenset({"an option of tomorrow"}))
    assert not linear_compiled.serves(layer)


def test_options_that_are_asked_for() -> None:
    assert Options().asked == frozenset()
    assert Options(temperature=2.0, weight=CLASSES, reduction="sum", label_smoothing=0.0).asked == {
        "temperature",
        "weight",
    }
    assert {name for name, _ in TAKEN_BY_ROOMS} | AROUND == set(Options.__dataclass_fields__)
    for room in (cpu, triton, float64, compiled, linear_compiled):
        assert {name for name, _ in TAKEN_BY_ROOMS} >= room.TAKES, room.__name__


@pytest.mark.parametrize("room", [agnostic, cpu, triton])
def test_a_room_has_the_functions_of_the_protocol(room) -> None:
    names = [name for name, value in vars(Room).items() if inspect.isfunction(value) and not name.startswith("_")]
    missing = [name for name in names if not hasattr(room, name) and name != "serves"]
    assert missing == []


def poly1(x, y, epsilon, weight=None, smoothing=0.0):
    """The loss of each row, from the formula."""
    p = np.exp(x - x.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    q = np.eye(x.shape[1])[y] * (1 - smoothing) + smoothing / x.shape[1]
    q = q if weight is None else q * weight
    return (q * (-np.log(p) + epsilon * (1 - p))).sum(-1)


OPTIONS = [{}, {"label_smoothing": 0.1}, {"weight": CLASSES}, {"weight": CLASSES, "label_smoothing": 0.2}]


@pytest.mark.parametrize("given", OPTIONS, ids=lambda o: "+".join(o) or "plain")
@pytest.mark.parametrize("epsilon", [2.0, -0.5])
def test_poly1_in_every_way(backend, given, epsilon) -> None:
    x = backend.array(X.astype(np.float64))
    options = {**given, "poly1_epsilon": epsilon, "reduction": "none"}
    expected = poly1(X.astype(np.float64), Y, epsilon, given.get("weight"), given.get("label_smoothing", 0.0))
    np.testing.assert_allclose(
        backend.numpy(crossent.cross_entropy(x, backend.array(Y), **options)), expected, rtol=1e-12
    )
    loss, gradient = crossent.cross_entropy_with_grad(x, backend.array(Y), **options)
    np.testing.assert_allclose(backend.numpy(loss), expected, rtol=1e-12)
    step, along = 1e-6, RNG.normal(size=X.shape)
    rest = (epsilon, given.get("weight"), given.get("label_smoothing", 0.0))
    up, down = (poly1(X + s * along, Y, *rest).sum() for s in (step, -step))
    np.testing.assert_allclose((backend.numpy(gradient) * along).sum(), (up - down) / (2 * step), rtol=1e-5)


def test_poly1_through_torch_the_layer_and_a_graph() -> None:
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(Y)
    options = {"poly1_epsilon": 1.5, "label_smoothing": 0.1}
    assert torch.autograd.gradcheck(lambda z: crossent.cross_entropy(z, y, **options), x)
    assert torch.autograd.gradgradcheck(lambda z: crossent.cross_entropy(z, y, **options), x)
    plain = crossent.cross_entropy(x, y, **options)
    layer = crossent.linear_cross_entropy(x, torch.eye(5, dtype=torch.float64), y, **options)
    graph = torch.compile(lambda z: crossent.cross_entropy(z, y, **options), backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(layer, plain)
    torch.testing.assert_close(graph, plain)
    stats = crossent.row_stats(x, y, **options)
    torch.testing.assert_close(stats.loss.mean(), plain)


def test_poly1_keeps_its_accuracy_at_a_confident_class() -> None:
    z = np.array([[60.0, 0.0]])
    loss, gradient = crossent.cross_entropy_with_grad(z, [0], poly1_epsilon=1.0)
    assert float(loss) == pytest.approx(2 * np.exp(-60.0), rel=1e-12)
    assert gradient[0, 0] == pytest.approx(-2 * np.exp(-60.0), rel=1e-12)
