"""The C++ room as custom operators of PyTorch: torch's own checks, and what torch.compile makes of them."""

from __future__ import annotations

import pytest
import torch
from torch import library
from torch.autograd import gradcheck, gradgradcheck

import crossent
from crossent._torch import compiled

pytestmark = pytest.mark.skipif(not compiled.READY, reason="the kernels are not built, or switched off")

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(4, 6, dtype=torch.float64, generator=GENERATOR)
Y = torch.tensor([0, -100, 5, 2])
Q = torch.softmax(torch.randn(4, 6, dtype=torch.float64, generator=GENERATOR), -1)
WEIGHT = torch.rand(6, dtype=torch.float64, generator=GENERATOR)
ROWS = torch.rand(4, dtype=torch.float64, generator=GENERATOR)
CALLS = {
    "index": (X, Y, None, None, None, -100, 0.0, 0.0, 1.0, True),
    "probabilities": (X, None, Q, WEIGHT, ROWS, -100, 0.1, 0.0, 1.0, True),
    "every option": (X, Y, None, WEIGHT, ROWS, -100, 0.1, 5.0, 1.5, True),
    "narrow": (X.bfloat16(), Y, None, None, None, -100, 0.1, 0.0, 1.0, False),
}


def leaf(call: tuple) -> tuple:
    return (call[0].clone().requires_grad_(), *call[1:])


@pytest.mark.parametrize("name", CALLS)
def test_opcheck(name: str) -> None:
    library.opcheck(torch.ops.crossent.row_losses.default, leaf(CALLS[name]))
    dtype = torch.float64 if CALLS[name][-1] else torch.float32
    cotangents = [torch.rand(4, dtype=dtype).requires_grad_() for _ in range(2)]
    library.opcheck(torch.ops.crossent.row_gradient.default, (*cotangents, *leaf(CALLS[name])))


@pytest.mark.parametrize("name", ["index", "probabilities", "every option"])
def test_first_and_second_derivatives(name: str) -> None:
    x, *rest = leaf(CALLS[name])

    def losses(x: torch.Tensor) -> torch.Tensor:
        loss, square = torch.ops.crossent.row_losses(x, *rest)
        return loss + 0.1 * square

    assert gradcheck(losses, (x,), check_batched_grad=True)
    assert gradgradcheck(losses, (x,))


def test_vmap_is_one_more_axis_of_rows() -> None:
    x = torch.randn(3, 4, 6, dtype=torch.float64)
    call = CALLS["every option"]
    batched = torch.vmap(lambda x: torch.ops.crossent.row_losses(x, *call[1:])[0])(x)
    for i in range(3):
        torch.testing.assert_close(batched[i], torch.ops.crossent.row_losses(x[i], *call[1:])[0])
    with pytest.raises(NotImplementedError, match="class weights"):
        torch.vmap(lambda w: torch.ops.crossent.row_losses(X, Y, None, w, *call[4:])[0])(WEIGHT.expand(2, 6))


def test_a_compiled_loss_is_the_operators() -> None:
    torch.compiler.reset()
    seen = []

    def backend(graph, _inputs):
        seen.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return graph

    x = X.clone().requires_grad_()
    options = {"label_smoothing": 0.1, "z_loss": 0.01}
    value = torch.compile(lambda x: crossent.cross_entropy(x, Y, WEIGHT, **options), backend=backend, fullgraph=True)(x)
    assert any("row_losses" in name for name in seen)
    (gradient,) = torch.autograd.grad(value, x)
    wanted = crossent.cross_entropy(x, Y, WEIGHT, **options)
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted, x)[0])
