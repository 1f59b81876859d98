"""The linear loss at the door: errors and their text, torch's own signature, the module, statistics, wrapped heads."""

from __future__ import annotations

import inspect
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import crossent
from crossent import errors
from crossent._torch import linear as torch_linear

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
W = torch.randn(10, 4, generator=torch.Generator().manual_seed(1))
B = torch.randn(10, generator=torch.Generator().manual_seed(2))
Y = torch.arange(8)
CALL = r"— in linear_cross_entropy\(input float32 \(8, 4\), linear_weight float32 \(10, 4\), target int64 \(8,\)"


def call(x=X, w=W, y=Y, **options):
    return lambda: crossent.linear_cross_entropy(x, w, y, **options)


ERRORS = {
    "a number": (
        call(torch.tensor(1.0)),
        errors.ShapeError,
        r"^input is a single number, expected \(D,\), \(N, D\) or",
    ),
    "a weight of one axis": (
        call(w=W[0]),
        errors.ShapeError,
        r"^linear_weight has shape \(4,\), expected \(C, 4\) — in linear_cross_entropy\(input ",
    ),
    "a transposed weight": (
        call(w=W.T),
        errors.ShapeError,
        r"^input has 4 features, but linear_weight 10 on its last axis: use linear_weight\.T — in linear_cros",
    ),
    "other features": (
        call(w=W[:, :3]),
        errors.ShapeError,
        r"^input has 4 features, but linear_weight 3 on its last axis: expected linear_weight \(C, 4\) — in",
    ),
    "other dtypes": (
        call(w=W.bfloat16()),
        errors.DtypeError,
        r"^input has dtype float32, but linear_weight bfloat16: give both in one dtype — in linear_cross_entropy\(",
    ),
    "a bias of another shape": (
        call(linear_bias=B[:4]),
        errors.ShapeError,
        r"^linear_bias has shape \(4,\), expected \(10,\): one number a class — in",
    ),
    "a bias of another dtype": (
        call(linear_bias=B.double()),
        errors.DtypeError,
        r"^linear_bias has dtype float64, but linear_weight float32: give both in one dtype — in",
    ),
    "a column of targets": (
        call(y=Y[:, None]),
        errors.ShapeError,
        r"^target has shape \(8, 1\), expected \(8,\) or \(8, 10\): use target\.squeeze\(1\) — in linear_cross_entropy",
    ),
    "a class out of range": (
        call(y=Y + 3),
        errors.ClassIndexError,
        r"^target holds 10 at position 7, but there are 10 classes \(0 … 9\): are the labels 1-based\? .* " + CALL,
    ),
    "no classes": (call(w=W[:0]), errors.ShapeError, r"^input has no classes on axis 1 — in linear_cross_entropy"),
    "a shift that leaves nothing": (
        call(X.reshape(2, 4, 4), y=Y.reshape(2, 4), shift=4),
        errors.ShapeError,
        r"^shift=4, but input float32 \(2, 4, 4\) has 4 positions before its last axis: expected input \(…, L, D\) ",
    ),
    "a shift of shifted targets": (
        call(X.reshape(2, 4, 4), y=Y.reshape(2, 4)[:, 1:], shift=1),
        errors.ShapeError,
        r"^target has shape \(2, 3\), expected \(2, 4\): with shift=1 give input and target of the same positions — in",
    ),
    "a shift of one row": (
        call(X[0], y=Y[0], shift=1),
        errors.ShapeError,
        r"^shift=1, but input float32 \(4,\) has no pos",
    ),
    "a negative shift": (
        call(shift=-1),
        errors.OptionError,
        r"^linear_cross_entropy: shift=-1, expected 0 or a positive",
    ),
    "an empty chunk": (
        call(chunk_size=0),
        errors.OptionError,
        r"^linear_cross_entropy: chunk_size=0, expected None or a positive whole number of rows",
    ),
    "a half chunk": (call(chunk_size=1.5), errors.OptionError, r"chunk_size=1\.5, expected None or a positive whole"),
    "a word for recompute": (
        call(recompute="no"),
        errors.OptionError,
        r"^linear_cross_entropy: recompute='no', expected one of True, False",
    ),
    "smoothing": (
        call(label_smoothing=2),
        errors.OptionError,
        r"^linear_cross_entropy: label_smoothing=2, expected betw",
    ),
    "two libraries": (
        lambda: crossent.linear_cross_entropy(X.numpy(), W, Y.numpy()),
        errors.ArrayTypeError,
        r"^linear_weight is a torch\.Tensor, but input a numpy\.ndarray: give both in one library",
    ),
    "K dimensions of sequences": (
        call(X.reshape(2, 4, 4), w=W[:, None], y=Y.reshape(2, 4)),
        errors.ShapeError,
        r"^linear_weight of 3 axes needs input \(N, 4\): use a linear_weight \(C, 4\) — in",
    ),
    "a mean over nothing": (
        call(y=torch.full((8,), -100), on_empty="raise"),
        errors.EmptyReductionError,
        r"^the mean is over nothing: every row is ignored",
    ),
}


@pytest.fixture(params=["chunks", "whole"], autouse=True)
def way(request, monkeypatch):
    if request.param == "chunks":
        monkeypatch.setattr(torch_linear, "SMALL", 0)
    return request.param


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name) -> None:
    bad, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        bad()


def test_an_unknown_option_raises_as_python_does() -> None:
    text = r"linear_cross_entropy\(\) got an unexpected keyword argument 'axis'"
    with pytest.raises(TypeError, match=text):
        crossent.linear_cross_entropy(X, W, Y, axis=1)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'chunksize': did you mean chunk_size"):
        crossent.linear_cross_entropy(X, W, Y, chunksize=1)


def test_signatures_hold_torch_s() -> None:
    theirs, ours = (inspect.signature(f).parameters for f in (F.linear_cross_entropy, crossent.linear_cross_entropy))
    assert set(theirs) <= set(ours)
    assert list(theirs)[:3] == list(ours)[:3]
    for name in set(theirs) - {"ignore_index"}:
        assert theirs[name].default == ours[name].default
        assert theirs[name].kind == ours[name].kind
    assert {"shift", "chunk_size", "softcap", "z_loss", "where", "sample_weight", "return_stats"} <= set(ours)
    assert "reduction" not in inspect.signature(crossent.linear_row_stats).parameters


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gives_what_torch_gives(reduction, smoothing) -> None:
    given = {"linear_bias": B, "weight": torch.rand(10), "reduction": reduction, "label_smoothing": smoothing}
    for target in (Y, torch.softmax(torch.randn(8, 10), -1)):
        wanted = F.linear_cross_entropy(X, W, target, **given)
        torch.testing.assert_close(crossent.linear_cross_entropy(X, W, target, **given), wanted)
    torch.testing.assert_close(
        crossent.linear_cross_entropy(X, W, Y, ignore_index=3), F.linear_cross_entropy(X, W, Y, ignore_index=3)
    )
    torch.testing.assert_close(
        crossent.linear_cross_entropy(X, W, Y, ignore_index=None), F.linear_cross_entropy(X, W, Y, ignore_index=None)
    )


def test_torch_s_options_give_the_chunk_size(monkeypatch) -> None:
    monkeypatch.setattr(torch_linear, "SMALL", 0)
    seen = []
    logits = torch_linear.chunks.products.logits
    monkeypatch.setattr(
        torch_linear.chunks.products, "logits", lambda x, *rest: (seen.append(len(x)), logits(x, *rest))
    )
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=3, chunking_method=None)
    crossent.linear_cross_entropy(X, W, Y, options=options)
    assert seen == [3, 3, 2]


def test_k_dimensional_weights() -> None:
    w, b, y = torch.randn(5, 2, 3, 4), torch.randn(5, 2, 3), torch.randint(0, 5, (8, 2, 3))
    leaf, other = (X.clone().requires_grad_() for _ in range(2))
    loss = crossent.linear_cross_entropy(leaf, w, y, linear_bias=b)
    wanted = F.linear_cross_entropy(other, w, y, linear_bias=b)
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    wanted.backward()
    torch.testing.assert_close(leaf.grad, other.grad)
    value, gradients = crossent.linear_cross_entropy_with_grad(X.numpy(), w.numpy(), y.numpy(), linear_bias=b.numpy())
    assert value == pytest.approx(wanted.item(), rel=1e-5)
    np.testing.assert_allclose(gradients.input, other.grad.numpy(), rtol=1e-4, atol=1e-6)
    assert gradients.linear_weight.shape == w.shape
    assert gradients.linear_bias.shape == b.shape
    again = crossent.linear_cross_entropy_with_grad(X, w, y, linear_bias=b)[1]
    torch.testing.assert_close(again.input, other.grad)


@pytest.mark.parametrize("target", [None, Y, torch.tensor([0, 1, -100, 3, 4, 5, -100, 7])])
@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_statistics_are_those_of_the_logits(library, target) -> None:
    parts = [X, W, B, target] if library == "torch" else [p if p is None else p.numpy() for p in (X, W, B, target)]
    x, w, b, y = parts
    given = {} if target is None else {"label_smoothing": 0.1, "z_loss": 0.01}
    found = crossent.linear_row_stats(x, w, y, linear_bias=b, chunk_size=3, **given)
    wanted = crossent.row_stats(F.linear(X, W, B), target, **given)
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(torch.as_tensor(one), other)
    if target is not None:
        loss, beside = crossent.linear_cross_entropy(x, w, y, linear_bias=b, chunk_size=3, return_stats=True)
        torch.testing.assert_close(torch.as_tensor(beside.entropy), wanted.entropy)
        torch.testing.assert_close(torch.as_tensor(loss), crossent.cross_entropy(F.linear(X, W, B), target))


def test_perplexity_accuracy_and_log_probabilities_from_one_pass() -> None:
    loss, stats = crossent.linear_cross_entropy(X, W, Y, return_stats=True)
    z = X @ W.T
    torch.testing.assert_close(stats.target_log_prob, z.log_softmax(-1).gather(1, Y[:, None])[:, 0])
    torch.testing.assert_close((stats.prediction == Y).float().mean(), (z.argmax(-1) == Y).float().mean())
    torch.testing.assert_close(loss.exp(), F.cross_entropy(z, Y).exp())


def test_lists_and_integers_are_numpy_s() -> None:
    value = crossent.linear_cross_entropy([[1, 2]], [[1, 0], [0, 1]], [1])
    assert value == pytest.approx(np.log1p(np.exp(-1)))
    assert isinstance(value, np.float64)


@pytest.mark.parametrize("shape", [(0, 4), (2, 0, 4)])
def test_empty_batches(shape) -> None:
    x, y = torch.zeros(shape, requires_grad=True), torch.zeros(shape[:-1], dtype=torch.int64)
    w = W.clone().requires_grad_()
    crossent.linear_cross_entropy(x, w, y, reduction="sum").backward()
    assert x.grad.shape == shape
    assert not w.grad.any()
    assert torch.isnan(crossent.linear_cross_entropy(x, w, y))
    assert crossent.linear_cross_entropy(x, w, y, on_empty="zero") == 0
    assert crossent.linear_cross_entropy(x, w, y, reduction="none").shape == shape[:-1]
    value, gradients = crossent.linear_cross_entropy_with_grad(*(part.detach().numpy() for part in (x, w, y)))
    assert np.isnan(value)
    assert not gradients.linear_weight.any()


def test_no_features_and_one_class() -> None:
    for x, w, y in ((X[:, :0], W[:, :0], Y), (X[:, :0].numpy(), W[:, :0].numpy(), Y.numpy())):
        assert float(crossent.linear_cross_entropy(x, w, y)) == pytest.approx(np.log(10))
    with pytest.warns(errors.MisuseWarning, match="one class: softmax over one output unit is 1"):
        crossent.linear_cross_entropy(X, W[:1], torch.zeros(8, dtype=torch.int64))


# --- the module ---


def test_the_module_is_torch_s() -> None:
    theirs, ours = torch.nn.LinearCrossEntropyLoss, crossent.nn.LinearCrossEntropyLoss
    assert issubclass(ours, theirs)
    wanted = inspect.signature(theirs).parameters
    own = [p for p in inspect.signature(ours).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    assert [(p.name, p.default) for p in own] == [(p.name, p.default) for p in wanted.values()]
    for options in ({}, {"bias": True, "label_smoothing": 0.1, "weight": torch.rand(10)}, {"out_features": (2,)}):
        one, other = ours(4, 10, **options), theirs(4, 10, **options)
        other.load_state_dict(one.state_dict())
        target = torch.randint(0, 10, (8, 2)) if "out_features" in options else Y
        torch.testing.assert_close(one(X, target), other(X, target))


def test_the_module_s_extras() -> None:
    loss = crossent.nn.LinearCrossEntropyLoss(4, 10, z_loss=0.1, chunk_size=3)
    assert repr(loss).endswith(
        "z_loss=0.1, chunk_size=3\n  (linear): Linear(in_features=4, out_features=10, bias=False)\n)"
    )
    again = pickle.loads(pickle.dumps(loss))
    rows = torch.rand(8)
    wanted = crossent.linear_cross_entropy(X, loss.linear.weight, Y, z_loss=0.1, sample_weight=rows, denominator=2.0)
    torch.testing.assert_close(again(X, Y, sample_weight=rows, denominator=2.0), wanted)
    with pytest.raises(errors.OptionError, match="LinearCrossEntropyLoss: softcap=-1"):
        crossent.nn.LinearCrossEntropyLoss(4, 10, softcap=-1)


# --- wrapped heads ---

WRAPPED = """
import os, sys, torch
import torch.distributed as dist
import torch.nn.functional as F
import crossent
from crossent._torch import linear as torch_linear

torch_linear.SMALL = 0
rank, port, way = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)


class Model(torch.nn.Module):
    def __init__(self, ours):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.ours = torch.nn.Linear(4, 6), torch.nn.Linear(6, 10), ours

    def forward(self, x, y):
        h = self.body(x).tanh()
        if self.ours:
            return crossent.linear_cross_entropy(h, self.head.weight, y, linear_bias=self.head.bias, chunk_size=3)
        return F.cross_entropy(self.head(h), y)


def wrapped(model):
    if way == "ddp":
        return torch.nn.parallel.DistributedDataParallel(model)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(model, mesh=init_device_mesh("cpu", (2,)))


torch.manual_seed(rank + 1)
x, y = torch.randn(8, 4), torch.randint(0, 10, (8,))
gradients = []
for ours in (True, False):
    model = wrapped(Model(ours))
    model(x, y).backward()
    found = [p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad for p in model.parameters()]
    gradients.append(found)
for one, other in zip(*gradients, strict=True):
    torch.testing.assert_close(one, other)
dist.destroy_process_group()
print("same")
"""


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", ["ddp", "fsdp2"])
def test_wrapped_heads(wrapper, tmp_path, way) -> None:
    if way == "whole":
        return
    script = Path(tmp_path) / "wrapped.py"
    script.write_text(WRAPPED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, str(script)]
    runs = [
        subprocess.Popen(
            [*command, str(rank), port, wrapper], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    for run in runs:
        out, problem = run.communicate(timeout=120)
        assert out.strip() == "same", problem


@pytest.mark.slow
@pytest.mark.parametrize("precision", [[], ["--bf16"]])
def test_a_language_model_learns_the_same(precision, way) -> None:
    if way == "whole":
        return
    example = Path(__file__).parents[1] / "examples" / "tiny_language_model.py"
    command = [sys.executable, str(example), "--steps", "12", "--batch", "4", "--context", "64", *precision]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    apart = float(text.partition("differ by at most ")[2].split()[0])
    assert apart < (0.05 if precision else 1e-3)
    first, last = (
        float(line.split()[-1]) for line in (text.splitlines()[0], text.partition("\nthe curves")[0].splitlines()[-1])
    )
    assert last < first - 0.3


def test_numpy_says_nothing_of_what_it_meets_knowingly() -> None:
    x, weight = np.array([[np.inf, np.inf], [1.0, 2.0]]), np.array([[1.0, 1.0], [1.0, -1.0], [0.5, 1.0]])
    normaliser = float(crossent.logsumexp(weight @ x[1]))
    loss, gradients = crossent.linear_cross_entropy_with_grad(x, weight, np.array([-100, 0]))
    assert float(loss) == pytest.approx(normaliser - 3)
    assert np.isfinite(gradients[0]).all()
    stats = crossent.linear_row_stats(x, weight)
    assert np.isnan(stats.lse[0])
    assert stats.lse[1] == pytest.approx(normaliser)
