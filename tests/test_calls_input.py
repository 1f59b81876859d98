"""What everyday code gives to a loss: whole outputs, tuples, old spellings, lists as weights, negative weights."""

from __future__ import annotations

import collections
import os
import types
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import crossent
from crossent import nn
from crossent.errors import (
    ArrayTypeError,
    MisuseWarning,
    OptionError,
    ShapeError,
    TracingError,
    UnknownOptionError,
)

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(4, 3, generator=GENERATOR).requires_grad_()
Y = torch.tensor([0, 2, 1, 0])
LABELS = (torch.rand(4, 3, generator=GENERATOR) < 0.5).float()
W = torch.randn(3, 3, generator=GENERATOR)


class InceptionOutputs(NamedTuple):
    """torchvision's."""

    logits: Any
    aux_logits: Any


class ModelOutput(collections.OrderedDict):
    """Transformers': a mapping whose keys are attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def holders(part: Any) -> dict[str, tuple[Any, str]]:
    """Things that hold an array, and the text that names the part."""
    return {
        "tuple": ((part, part), "[0]"),
        "list": ([part, part], "[0]"),
        "nested": (([part],), "[0]"),
        "beside None": ((None, part), "[0]"),
        "inception": (InceptionOutputs(part, part), "output.logits"),
        "model output": (ModelOutput(loss=None, logits=part), "output.logits"),
        "without logits": (ModelOutput(hidden_states=None, last_hidden_state=part), "output.last_hidden_state"),
        "dictionary": ({"aux": part, "out": part}, "output['out']"),
        "strange dictionary": ({1: part}, "output[1]"),
        "object": (types.SimpleNamespace(logits=part), "output.logits"),
    }


CALLS: dict[str, Any] = {
    "cross_entropy": lambda x: crossent.cross_entropy(x, Y),
    "cross_entropy, options": lambda x: crossent.cross_entropy(x, Y, W[0], inplace=False, z_loss=0.1),
    "cross_entropy_with_grad": lambda x: crossent.cross_entropy_with_grad(x, Y),
    "nll_loss": lambda x: crossent.nll_loss(x, Y),
    "binary_cross_entropy": lambda x: crossent.binary_cross_entropy(x, LABELS),
    "binary_cross_entropy_with_logits": lambda x: crossent.binary_cross_entropy_with_logits(x, LABELS),
    "linear_cross_entropy": lambda x: crossent.linear_cross_entropy(x, W, Y),
    "linear_cross_entropy_with_grad": lambda x: crossent.linear_cross_entropy_with_grad(x, W, Y),
    "linear_row_stats": lambda x: crossent.linear_row_stats(x, W),
    "row_stats": lambda x: crossent.row_stats(x, Y),
    "predict": crossent.predict,
    "softmax": crossent.softmax,
    "log_softmax": lambda x: crossent.log_softmax(x, 1),
    "logsumexp": crossent.logsumexp,
    "CrossEntropyLoss": lambda x: nn.CrossEntropyLoss()(x, Y),
    "NLLLoss": lambda x: nn.NLLLoss()(x, Y),
    "BCELoss": lambda x: nn.BCELoss()(x, LABELS),
    "BCEWithLogitsLoss": lambda x: nn.BCEWithLogitsLoss()(x, LABELS),
    "Softmax": nn.Softmax(),
    "LogSoftmax": nn.LogSoftmax(dim=1),
}
TARGETS: dict[str, Any] = {
    "cross_entropy": lambda y: crossent.cross_entropy(X, y),
    "nll_loss": lambda y: crossent.nll_loss(X, y),
    "row_stats": lambda y: crossent.row_stats(X, y),
    "binary_cross_entropy": lambda y: crossent.binary_cross_entropy(X.sigmoid(), y),
    "binary_cross_entropy_with_logits": lambda y: crossent.binary_cross_entropy_with_logits(X, y),
    "linear_cross_entropy": lambda y: crossent.linear_cross_entropy(X, W, y),
    "CrossEntropyLoss": lambda y: nn.CrossEntropyLoss()(X, y),
}


@pytest.mark.parametrize("holder", holders(X))
@pytest.mark.parametrize("name", CALLS)
def test_a_whole_output_as_input(name: str, holder: str) -> None:
    given, place = holders(X)[holder]
    with pytest.raises(ArrayTypeError) as caught:
        CALLS[name](given)
    text = str(caught.value)
    assert "detach" not in text
    assert "numpy" not in text
    assert type(given).__name__ in text
    assert place in text, text


@pytest.mark.parametrize("holder", ["tuple", "list", "inception", "model output", "dictionary"])
@pytest.mark.parametrize("name", TARGETS)
def test_a_whole_batch_as_target(name: str, holder: str) -> None:
    given, _ = holders(Y)[holder]
    with pytest.raises(ArrayTypeError, match=f"target is a {type(given).__name__} .* give the part that is meant"):
        TARGETS[name](given)


def test_outputs_of_other_libraries() -> None:
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(ArrayTypeError, match=r"input is a tuple of 2 that holds tensors.*output\[0\]"):
        crossent.cross_entropy((jnp.zeros((4, 3)), jnp.zeros((4, 3))), Y.numpy())
    with pytest.raises(ArrayTypeError, match=r"input is a InceptionOutputs with the parts logits, aux_logits"):
        crossent.cross_entropy(InceptionOutputs(np.zeros((4, 3)), np.zeros((4, 3))), Y.numpy())
    rows = [np.zeros(3), np.ones(3)]  # rows are an array, as everywhere in NumPy
    assert crossent.cross_entropy(rows, [0, 1]) == crossent.cross_entropy(np.stack(rows), np.array([0, 1]))


def test_the_output_of_a_model_of_transformers() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    given = outputs.SequenceClassifierOutput(loss=None, logits=X, hidden_states=(X, X))
    with pytest.raises(
        ArrayTypeError, match=r"SequenceClassifierOutput with the parts logits, hidden_states.*output\.logits"
    ):
        crossent.cross_entropy(given, Y)
    assert crossent.cross_entropy(given.logits, Y).requires_grad


# --- old spellings of reduction


OLD = [({"size_average": False}, "sum"), ({"reduce": False}, "none"), ({"size_average": True}, "mean"),
       ({"size_average": False, "reduce": True}, "sum"), ({"reduce": True}, "mean"),
       ({"size_average": True, "reduce": False}, "none"), ({"size_average": None}, "mean")]  # fmt: skip


@pytest.mark.parametrize(("old", "today"), OLD, ids=str)
def test_old_spellings_of_reduction(old: dict, today: str) -> None:
    calls = {
        "cross_entropy": lambda: crossent.cross_entropy(X, Y, **old),
        "nll_loss": lambda: crossent.nll_loss(X, Y, **old),
        "row_stats": lambda: crossent.row_stats(X, Y, **old),
        "binary_cross_entropy": lambda: crossent.binary_cross_entropy(X.sigmoid(), LABELS, **old),
        "binary_cross_entropy_with_logits": lambda: crossent.binary_cross_entropy_with_logits(X, LABELS, **old),
        "linear_cross_entropy": lambda: crossent.linear_cross_entropy(X, W, Y, **old),
        "cross_entropy_with_grad": lambda: crossent.cross_entropy_with_grad(X, Y, **old),
    }
    for name, call in calls.items():
        with pytest.raises(UnknownOptionError, match=rf"^{name}: .*deprecated there: use reduction='{today}'$"):
            call()
    for error in (TypeError, OptionError):
        with pytest.raises(error, match="reduction="):
            nn.CrossEntropyLoss()(X, Y, **old)


# --- weights of modules


KINDS = [
    [1.0, 2.0, 0.5],
    (1, 2, 3),
    np.array([1.0, 2.0, 0.5]),
    np.array([1, 2, 3]),
    np.array([1.0, 2.0, 0.5], np.float32),
    np.broadcast_to(np.float64(2.0), 3),
    torch.tensor([1.0, 2.0, 0.5]),
]


@pytest.mark.parametrize("weight", KINDS, ids=lambda w: f"{type(w).__name__} {getattr(w, 'dtype', '')}")
@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "pos_weight"])
def test_weights_of_modules(name: str, weight: Any) -> None:
    option, module = ("pos_weight", "BCEWithLogitsLoss") if name == "pos_weight" else ("weight", name)
    tensor = torch.tensor(np.asarray(weight)).float()
    x, y = {"C": (X, Y), "N": (X.log_softmax(-1), Y), "B": (X.sigmoid(), LABELS)}[module[0]]
    loss, own = getattr(nn, module)(**{option: weight}), getattr(torch.nn, module)(**{option: tensor})
    torch.testing.assert_close(loss(x, y), own(x, y))
    assert getattr(loss, option).is_floating_point()
    loss.load_state_dict(own.state_dict())
    assert loss.double()(x.double(), y).dtype == torch.float64
    if isinstance(weight, np.ndarray) and weight.flags.writeable:
        before = getattr(getattr(nn, module)(**{option: weight}), option).clone()
        later = getattr(nn, module)(**{option: weight})
        weight = weight.copy()
        assert torch.equal(getattr(later, option), before)


def test_weights_of_modules_that_are_none() -> None:
    assert nn.BCEWithLogitsLoss(pos_weight=3.0)(X, LABELS) == crossent.binary_cross_entropy_with_logits(
        X, LABELS, pos_weight=3.0
    )
    assert nn.LinearCrossEntropyLoss(3, 3, weight=[1.0, 2.0, 3.0]).weight.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ArrayTypeError, match="weight is a str of dtype"):
        nn.CrossEntropyLoss("heavy")
    with pytest.raises(ShapeError, match=r"weight has shape \(2,\), but input"):
        nn.CrossEntropyLoss([1.0, 2.0])(X, Y)


# --- negative class weights


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_negative_class_weights(backend: Any, reduction: str, soft: bool, smoothing: float) -> None:
    x, weight = X.detach().double(), torch.tensor([-20.0, 0.7, 1.1], dtype=torch.float64)
    y = F.one_hot(Y, 3).double() if soft else Y
    expected = F.cross_entropy(x, y, weight, reduction=reduction, label_smoothing=smoothing)
    own = backend.array(x.numpy(), "float64"), backend.array(y.numpy())
    options = {"reduction": reduction, "label_smoothing": smoothing}
    with pytest.warns(MisuseWarning, match="cross_entropy: weight holds -20: a negative class weight rewards wrong"):
        value = crossent.cross_entropy(*own, backend.array(weight.numpy(), "float64"), **options)
    np.testing.assert_allclose(backend.numpy(value), expected, rtol=1e-12)


def test_their_derivatives_are_torchs(differentiating: Any) -> None:
    x, weight = X.detach().double().requires_grad_(), torch.tensor([-20.0, 0.7, 1.1], dtype=torch.float64)
    F.cross_entropy(x, Y, weight).backward()
    own = differentiating.array(weight.numpy(), "float64")
    _, slope = differentiating.gradient(
        lambda x: crossent.cross_entropy(x, differentiating.array(Y.numpy()), own, check=False),
        differentiating.array(x.detach().numpy(), "float64"),
    )
    np.testing.assert_allclose(differentiating.numpy(slope), x.grad, rtol=1e-12, atol=1e-14)


def test_negative_weights_of_the_other_losses() -> None:
    weight, rows = torch.tensor([-20.0, 0.7, 1.1]), torch.tensor([1.0, -5.0, 1.0, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MisuseWarning)
        log_p = X.log_softmax(-1)
        torch.testing.assert_close(crossent.nll_loss(log_p, Y, weight), F.nll_loss(log_p, Y, weight))
        expected = F.cross_entropy(X @ W.T, Y, weight)
        torch.testing.assert_close(crossent.linear_cross_entropy(X, W, Y, weight=weight), expected)
        numpy = crossent.linear_cross_entropy(X.detach().numpy(), W.numpy(), Y.numpy(), weight=weight.numpy())
        np.testing.assert_allclose(numpy, expected.detach(), rtol=1e-5)
        torch.testing.assert_close(nn.CrossEntropyLoss(weight)(X, Y), F.cross_entropy(X, Y, weight))
        torch.testing.assert_close(
            crossent.cross_entropy_with_grad(X, Y, weight)[1], torch.autograd.grad(F.cross_entropy(X, Y, weight), X)[0]
        )
    by_rows = F.cross_entropy(X, Y, reduction="none") * rows
    torch.testing.assert_close(crossent.cross_entropy(X, Y, sample_weight=rows), by_rows.sum() / rows.sum())
    for bad in (-1.0, torch.tensor(-1.0), np.float32(-1.0)):
        with pytest.raises(OptionError, match=r"denominator.*, expected a number that is not negative"):
            crossent.cross_entropy(X, Y, denominator=bad)


# --- recorders and DTensors


MODULES = [nn.CrossEntropyLoss(), nn.NLLLoss(), nn.BCELoss(), nn.BCEWithLogitsLoss(), nn.LinearCrossEntropyLoss(3, 3)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("module", MODULES, ids=lambda m: type(m).__name__)
def test_a_loss_says_which_recorder_serves(module: Any) -> None:
    for held in (module, torch.nn.ModuleDict({"loss": module})):
        with pytest.raises(
            TracingError, match=rf"crossent\.nn\.{type(module).__name__} .*torch\.export.*torch\.compile"
        ):
            torch.jit.script(held)
    with pytest.raises(TracingError, match=r"input is a proxy of torch\.fx\.symbolic_trace.*torch\.export"):
        torch.fx.symbolic_trace(module)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "predict"])
def test_a_function_too(name: str) -> None:
    with pytest.raises(TracingError, match=r"x is a proxy|input is a proxy"):
        torch.fx.symbolic_trace(lambda x: (getattr(crossent, name)(x),))


@pytest.mark.parametrize(
    "name", ["cross_entropy", "binary_cross_entropy", "nll_loss", "binary_cross_entropy_with_logits"]
)
def test_a_loss_function_too(name: str) -> None:
    with pytest.raises(TracingError, match="is a proxy"):
        torch.fx.symbolic_trace(lambda x, y: (getattr(crossent, name)(x, y),))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("dim", [None, 0, 1, -1])
@pytest.mark.parametrize("record", [torch.jit.script, torch.fx.symbolic_trace], ids=["script", "fx"])
def test_softmaxes_are_recorded_as_torchs(name: str, dim: Any, record: Any) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), getattr(nn, name)(dim))
    torch.testing.assert_close(record(model)(X), model(X))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A mesh of this process alone."""
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available() or distributed.is_initialized():
        pytest.skip("no process group can be made here")
    store = distributed.FileStore(os.fspath(tmp_path_factory.mktemp("store") / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    from torch.distributed.device_mesh import init_device_mesh

    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


SERVED = ("cross_entropy", "nll_loss", "linear_cross_entropy", "row_stats", "CrossEntropyLoss", "NLLLoss")


@pytest.mark.filterwarnings("ignore")
def test_distributed_tensors_are_named(mesh: Any) -> None:
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    x = distribute_tensor(X.detach(), mesh, [Shard(0)])
    for name, call in CALLS.items():
        if name.partition(",")[0] in SERVED:
            told, expected = call(x), call(X.detach())
            pairs = zip(told, expected, strict=True) if isinstance(expected, tuple) else [(told, expected)]
            assert all(torch.allclose(one.full_tensor(), other) for one, other in pairs), name
            continue
        with pytest.raises(ArrayTypeError, match=r"is a DTensor .*\.to_local\(\).*\.full_tensor\(\)"):
            call(x)
    for call in TARGETS.values():
        with pytest.raises(
            ArrayTypeError, match=r"target is a DTensor .*target\.to_local\(\).*target\.full_tensor\(\)"
        ):
            call(distribute_tensor(Y, mesh, [Replicate()]))
    torch.testing.assert_close(crossent.cross_entropy(x.full_tensor(), Y), crossent.cross_entropy(X.detach(), Y))
