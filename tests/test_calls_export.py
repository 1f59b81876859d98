"""Exported programs hold torch's own operations alone: they load without crossent, and run in other runtimes."""

from __future__ import annotations

import functools
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import crossent
from crossent import nn

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(8, 4, generator=GENERATOR)
Y = torch.tensor([0, 2, 1, -100, 2, 1, 0, -100])
Q = torch.softmax(torch.randn(8, 3, generator=GENERATOR), -1)
W = torch.tensor([1.0, 2.0, 0.5])


class Model(torch.nn.Module):
    """A layer and what stands on it."""

    def __init__(self, top: Callable) -> None:
        super().__init__()
        self.layer, self.top = torch.nn.Linear(4, 3), top

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self.top(self.layer(x), y)


CASES: dict[str, tuple[Callable, torch.Tensor]] = {
    "softmax": (lambda z, _: nn.Softmax(dim=-1)(z), Y),
    "log_softmax": (lambda z, _: nn.LogSoftmax(dim=-1)(z), Y),
    "logsumexp": (lambda z, _: crossent.logsumexp(z, b=[1.0, -0.1, 1.0], keepdim=True), Y),
    "predict": (lambda z, _: tuple(crossent.predict(z)), Y),
    "index": (nn.CrossEntropyLoss(weight=W, label_smoothing=0.1), Y),
    "rows": (nn.CrossEntropyLoss(reduction="none", z_loss=0.1, softcap=4.0), Y),
    "probabilities": (nn.CrossEntropyLoss(), Q),
    "nll": (lambda z, y: nn.NLLLoss()(torch.log_softmax(z, -1), y), Y),
    "logits": (nn.BCEWithLogitsLoss(pos_weight=W, ignore_index=1), Q.round()),
    "binary": (lambda z, y: nn.BCELoss()(z.sigmoid(), y), Q),
    "stats": (lambda z, y: tuple(crossent.row_stats(z, y)), Y),
    "linear": (lambda z, y: crossent.linear_cross_entropy(z, torch.eye(3), y), Y),
}
OPEN = {0: torch.export.Dim("rows", min=3, max=64)}


def exported(name: str, *, dynamic: bool, strict: bool = False) -> tuple[Model, Any]:
    top, y = CASES[name]
    model = Model(top).eval()
    if dynamic and name in ("softmax", "log_softmax", "logsumexp", "predict"):
        pytest.skip("y is not looked at: its length is fixed")
    shapes = (OPEN, OPEN) if dynamic else None
    return model, torch.export.export(model, (X, y), dynamic_shapes=shapes, strict=strict)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_no_operator_of_ours(name: str, dynamic: bool) -> None:
    model, program = exported(name, dynamic=dynamic)
    names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert not [n for n in names if "crossent" in n]
    y = CASES[name][1]
    torch.testing.assert_close(program.module()(X, y), model(X, y))
    if dynamic:
        torch.testing.assert_close(program.module()(X[:5], y[:5]), model(X[:5], y[:5]))


def test_saved_programs_load_without_crossent(tmp_path: Path) -> None:
    """Every kind of output, in one process that cannot import crossent."""
    wanted, names = {}, ("softmax", "index", "probabilities", "logits", "stats", "linear")
    for name in names:
        model, program = exported(name, dynamic=False)
        torch.export.save(program, tmp_path / f"{name}.pt2")
        wanted[name] = model(X, CASES[name][1])
    torch.save({name: (X, CASES[name][1]) for name in names}, tmp_path / "inputs.pt")
    code = (
        "import sys; sys.modules['crossent'] = None; import torch\n"
        f"folder = {str(tmp_path)!r}\n"
        "inputs = torch.load(folder + '/inputs.pt')\n"
        "found = {n: torch.export.load(f'{folder}/{n}.pt2').module()(*parts) for n, parts in inputs.items()}\n"
        "torch.save(found, folder + '/found.pt')\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    found = torch.load(tmp_path / "found.pt")
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, msg=name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_onnx(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    top, y = CASES[name]
    model = Model(top).eval()
    program: Any = torch.onnx.export(model, (X, y), dynamo=True, verbose=False)
    kinds = [node.op_type for node in program.model.graph]
    if name in ("softmax", "log_softmax"):
        assert kinds == ["Gemm", {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[name]]
    file = io.BytesIO()
    program.save(file)
    session = runtime.InferenceSession(file.getvalue())
    given = {place.name: part.numpy() for place, part in zip(session.get_inputs(), (X, y), strict=False)}
    wanted = model(X, y)
    for one, two in zip(session.run(None, given), wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        np.testing.assert_allclose(one, two.detach().numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch's own export
@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_softmax_is_one_operation(dim: int, dtype: torch.dtype) -> None:
    x = X.to(dtype)
    for module, name in ((nn.Softmax(dim), "softmax"), (nn.LogSoftmax(dim), "log_softmax")):
        program = torch.export.export(module, (x,)).run_decompositions({})
        names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
        assert [n for n in names if "softmax" in n] == [f"aten.{name}.int"]
        torch.testing.assert_close(program.module()(x), module(x))


def test_the_operators_have_decompositions() -> None:
    from crossent._torch import compiled

    if not compiled.READY:
        pytest.skip("the kernels are not built")
    z = torch.randn(8, 3, generator=GENERATOR)
    call = (z, Y, None, W, None, -100, 0.1, 5.0, 1.5, False)
    cotangents = torch.rand(8, generator=GENERATOR), torch.rand(8, generator=GENERATOR)
    table = torch._decomp.decomposition_table
    for operator, given in (
        (torch.ops.crossent.row_losses, call),
        (torch.ops.crossent.row_gradient, (*cotangents, *call)),
    ):
        traced = functools.partial(lambda rest, own, x: own(x, *rest), given[1:], operator)
        graph = make_fx(traced, decomposition_table=table)(given[0])
        assert "crossent" not in graph.code
        torch.testing.assert_close(graph(given[0]), operator(*given))
