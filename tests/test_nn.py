"""The modules: torch's constructor arguments, torch's types, torch's habits."""

from __future__ import annotations

import copy
import inspect
import io
import pickle

import pytest
import torch

import crossent
from crossent import nn
from crossent.errors import MisuseWarning, OptionError

LOGITS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
INDEX = torch.tensor([2, 0, 4, -100, 1, 3])
LABELS = torch.rand(6, 5, generator=torch.Generator().manual_seed(1))

CASES = {
    "CrossEntropyLoss": (
        {"weight": torch.rand(5), "label_smoothing": 0.1, "ignore_index": 3},
        LOGITS,
        INDEX.clamp(min=0),
    ),
    "NLLLoss": (
        {"weight": torch.rand(5), "ignore_index": 2, "reduction": "sum"},
        LOGITS.log_softmax(-1),
        INDEX.clamp(min=0),
    ),
    "BCELoss": ({"weight": torch.rand(5), "reduction": "none"}, LOGITS.sigmoid(), LABELS),
    "BCEWithLogitsLoss": ({"weight": torch.rand(5), "pos_weight": torch.rand(5)}, LOGITS, LABELS),
}
NAMES = [*CASES, "Softmax", "LogSoftmax"]


@pytest.mark.parametrize("name", CASES)
def test_gives_what_torch_gives(name: str) -> None:
    options, input, target = CASES[name]
    theirs, ours = getattr(torch.nn, name)(**options), getattr(nn, name)(**options)
    torch.testing.assert_close(ours(input, target), theirs(input, target))


@pytest.mark.parametrize("name", NAMES)
def test_is_a_torch_module_with_torch_arguments(name: str) -> None:
    theirs, ours = getattr(torch.nn, name), getattr(nn, name)
    assert issubclass(ours, theirs)
    wanted = inspect.signature(theirs).parameters
    own = [p for p in inspect.signature(ours).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    assert [(p.name, p.default) for p in own] == [(p.name, p.default) for p in wanted.values()]


@pytest.mark.parametrize("name", CASES)
def test_survives_copying_pickling_saving_and_moving(name: str) -> None:
    options, input, target = CASES[name]
    loss = getattr(nn, name)(**options, check=False)
    wanted = loss(input, target)
    state = io.BytesIO()
    torch.save(loss.state_dict(), state)
    state.seek(0)
    fresh = getattr(nn, name)(
        **{k: torch.zeros_like(v) if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    )
    fresh.load_state_dict(torch.load(state, weights_only=True))
    assert set(loss.state_dict()) == set(getattr(torch.nn, name)(**options).state_dict())
    for again in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), fresh):
        torch.testing.assert_close(again(input, target), wanted)
        assert again.extras.get("check", False) is False
    assert loss.to(torch.float64)(input.double(), target).dtype == torch.float64


def test_extras_and_what_belongs_to_one_batch() -> None:
    loss = nn.CrossEntropyLoss(z_loss=0.1, softcap=5.0)
    rows = torch.rand(6)
    wanted = crossent.cross_entropy(LOGITS, INDEX, z_loss=0.1, softcap=5.0, sample_weight=rows, denominator=3.0)
    assert torch.equal(loss(LOGITS, INDEX, sample_weight=rows, denominator=3.0), wanted)
    assert repr(loss) == "CrossEntropyLoss(z_loss=0.1, softcap=5.0)"


def test_options_are_checked_when_the_module_is_made() -> None:
    with pytest.raises(OptionError, match="CrossEntropyLoss: label_smoothing=2, expected between"):
        nn.CrossEntropyLoss(label_smoothing=2)
    with pytest.raises(OptionError, match="BCEWithLogitsLoss: temperature=0"):
        nn.BCEWithLogitsLoss(temperature=0)
    with pytest.raises(TypeError, match="NLLLoss\\(\\) got an unexpected keyword argument 'softcap'"):
        nn.NLLLoss(softcap=3.0)


@pytest.mark.parametrize("name", ["target", "weight", "sample_weight", "denominator"])
def test_inplace_refuses_to_lose_another_gradient(name: str) -> None:
    given = {
        "target": LABELS,
        "weight": torch.ones(5),
        "sample_weight": torch.ones(6),
        "denominator": torch.tensor(2.0),
    }
    given[name] = given[name].clone().requires_grad_()
    with pytest.raises(OptionError, match=f"inplace=True gives the gradient of input alone, but {name} requires grad"):
        crossent.cross_entropy(LOGITS.clone().requires_grad_(), **given, inplace=True, check=False)


def test_legacy_arguments() -> None:
    with pytest.warns(UserWarning, match="size_average"):
        loss = nn.CrossEntropyLoss(size_average=False)
    assert loss.reduction == "sum"


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax_modules(dim: int) -> None:
    torch.testing.assert_close(nn.Softmax(dim)(LOGITS), LOGITS.softmax(dim))
    torch.testing.assert_close(nn.LogSoftmax(dim)(LOGITS), LOGITS.log_softmax(dim))


def test_softmax_without_dim() -> None:
    torch.testing.assert_close(nn.Softmax()(LOGITS), LOGITS.softmax(-1))
    with pytest.warns(MisuseWarning, match=r"Softmax\(\) without dim takes the last axis of input \(1, 6, 5\)"):
        nn.Softmax()(LOGITS[None])
