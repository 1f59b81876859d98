"""inspect, watch, strict, and what the losses see in their first calls."""

from __future__ import annotations

import random
import sys
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import crossent
from crossent._door import misuse
from crossent.errors import MisuseWarning

LABELS = torch.arange(32) % 3


@pytest.fixture(autouse=True)
def fresh():
    """Every place in the code counts its calls anew."""
    misuse.forget()
    torch.manual_seed(0)
    yield
    misuse.forget()


def network(*last: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, 3), *last)


def rules(findings) -> list[str]:
    return [finding.rule_id for finding in findings]


@pytest.mark.parametrize(
    "loss", [nn.CrossEntropyLoss(), F.cross_entropy, crossent.nn.CrossEntropyLoss(), crossent.cross_entropy]
)
def test_inspect_names_the_module(loss):
    (finding,) = crossent.checks.inspect(network(nn.Softmax(dim=1)), loss, torch.randn(32, 4), LABELS)
    assert (finding.rule_id, finding.module, finding.detail) == (
        "X001", "4", "the loss cannot fall below 0.551 here, C = 3",
    )  # fmt: skip
    assert crossent.checks.inspect(network(), loss, torch.randn(32, 4), LABELS) == []


def state(model):
    return {
        "values": {name: value.clone() for name, value in model.state_dict().items()},
        "gradients": {name: p.grad for name, p in model.named_parameters()},
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "python": random.getstate(),
    }


class Noisy(nn.Module):
    """Uses all there is of random numbers, and changes its own mode."""

    def __init__(self):
        super().__init__()
        self.net = network(nn.Softmax(dim=1))

    def forward(self, x):
        self.net.eval() if random.random() < 2 else None
        return self.net.train()(x + np.random.rand() + torch.rand(1))  # noqa: NPY002


def test_inspect_changes_nothing():
    model = Noisy()
    model.net[0].weight.grad = torch.ones(5, 4)
    model.net[3].eval()
    before = state(model)
    assert rules(crossent.checks.inspect(model, F.cross_entropy, torch.randn(32, 4), LABELS)) == ["X001"]
    after = state(model)
    for key in ("modes", "hooks", "numpy", "python"):
        assert before[key] == after[key], key
    assert all(before["gradients"][name] is value for name, value in after["gradients"].items())
    for name, value in before["values"].items():
        assert torch.equal(value, after["values"][name]), name


def test_inspect_keeps_torchs_random_numbers():
    model, x = network(), torch.randn(32, 4)
    before = torch.get_rng_state()
    crossent.checks.inspect(model, F.cross_entropy, x, LABELS)
    assert torch.equal(before, torch.get_rng_state())


def test_inspect_sees_a_loss_cut_off_from_the_model():
    def cut(output, target):
        return F.cross_entropy(output.detach(), target)

    assert rules(crossent.checks.inspect(network(), cut, torch.randn(32, 4), LABELS)) == ["X027"]


def test_inspect_explains_what_torch_raises_and_raises_what_it_cannot_explain():
    findings = crossent.checks.inspect(network(), F.cross_entropy, torch.randn(32, 4), LABELS + 1)
    assert rules(findings) == ["X015"]
    assert findings[0].detail == "a label is 3, there are 3 classes"
    with pytest.raises(RuntimeError):
        crossent.checks.inspect(network(), F.cross_entropy, torch.randn(32, 9), LABELS)


def test_inspect_takes_arguments_by_position_and_by_name():
    class Two(nn.Module):
        def forward(self, a, b):
            return torch.sigmoid(a + b)

    a, b, y = torch.randn(32), torch.randn(32), torch.ones(32)
    loss = nn.BCEWithLogitsLoss()
    assert rules(crossent.checks.inspect(Two(), loss, (a, b), y)) == ["X004"]
    assert rules(crossent.checks.inspect(Two(), loss, {"a": a, "b": b}, y)) == ["X004"]


def test_watch_points_to_the_line_of_the_program():
    with warnings.catch_warnings(record=True) as caught, crossent.checks.watch() as findings:
        warnings.simplefilter("always")
        for _ in range(3):
            line = sys._getframe().f_lineno + 1
            nn.CrossEntropyLoss()(torch.softmax(torch.randn(32, 3), 1), LABELS)
    assert [(f.rule_id, f.path, f.line) for f in findings] == [("X001", __file__, line)]
    assert [(w.category, w.filename, w.lineno) for w in caught] == [(MisuseWarning, __file__, line)]
    assert findings[0].origin == f"{__file__}:{line}"


def test_watch_sees_through_views_and_ends_with_its_block():
    with warnings.catch_warnings(), crossent.checks.watch() as findings:
        warnings.simplefilter("ignore")
        p = torch.softmax(torch.randn(4, 8, 3), -1).view(-1, 3)
        F.cross_entropy(p, LABELS)
    assert rules(findings) == ["X001"]
    F.cross_entropy(p, LABELS)
    assert len(findings) == 1


def test_watch_is_silent_about_sound_training():
    model, criterion = network(), nn.CrossEntropyLoss(ignore_index=-1)
    with crossent.checks.watch() as findings:
        for _ in range(3):
            output = model(torch.randn(32, 4))
            criterion(output, LABELS).backward()
            accuracy = (torch.softmax(output, 1).argmax(1) == LABELS).float().mean()
            F.kl_div(torch.log_softmax(output, 1), torch.softmax(output.detach(), 1), reduction="batchmean")
    assert 0 <= accuracy <= 1
    assert findings == []


def test_strict_makes_warnings_errors_and_takes_that_back():
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        with (
            crossent.checks.strict(),
            pytest.raises(MisuseWarning, match=r"^X001 softmax before cross-entropy: every row"),
        ):
            crossent.cross_entropy(torch.softmax(torch.randn(8, 3), 1), LABELS[:8])
        crossent.cross_entropy(np.array([[3.0]]), np.array([0]))


# ---------------------------------------------------------------------- the losses themselves


def warned(call, times=1) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(times):
            call()
    return [str(w.message) for w in caught if issubclass(w.category, MisuseWarning)]


P = np.random.default_rng(0).dirichlet(np.ones(3), 32).astype(np.float32)
SQUEEZED = np.random.default_rng(0).random((32, 3), np.float32)


def test_a_softmax_before_the_loss(backend):
    x, y = backend.array(P), backend.array(LABELS.numpy())
    (first, *rest) = warned(lambda: crossent.cross_entropy(x, y), times=10)
    assert first.startswith(
        "X001 softmax before cross-entropy: every row of input lies in 0 … 1 and sums to 1, as a softm"
    )
    assert "with these 3 classes below 0.551; give the loss the raw scores" in first
    assert len(rest) == misuse.LOOKS - 1
    assert len(warned(lambda: crossent.cross_entropy(x, y, check=True), times=5)) == 5
    assert warned(lambda: crossent.cross_entropy(x, y, check=False), times=5) == []


def test_numbers_between_0_and_1_are_believed_after_a_while(backend):
    x, y = backend.array(SQUEEZED), backend.array(LABELS.numpy())
    messages = warned(lambda: crossent.cross_entropy(x, y), times=10)
    assert [message[:4] for message in messages] == ["X002"]
    labels = backend.array((SQUEEZED > 0.5).astype(np.float32))
    messages = warned(lambda: crossent.binary_cross_entropy_with_logits(x, labels), times=10)
    assert [message[:4] for message in messages] == ["X004"]


def test_nan_is_named_and_ignored_rows_may_hold_it(backend):
    bad = P.copy() * 9
    bad[3, 1] = np.nan
    y = LABELS.numpy().copy()
    x = backend.array(bad)
    assert warned(lambda: crossent.cross_entropy(x, backend.array(y), check=True))[0].startswith(
        "X030 NaN among the scores"
    )
    y[3] = -100
    assert warned(lambda: crossent.cross_entropy(x, backend.array(y), check=True)) == []


@pytest.mark.parametrize("x", [
    np.zeros((32, 3)), np.eye(3)[LABELS.numpy()], np.random.default_rng(0).normal(size=(32, 3)), SQUEEZED * 2,
    np.log(P), np.where(P > 0.3, P, -np.inf),
])  # fmt: skip
def test_sound_scores_are_left_alone(backend, x):
    y = backend.array(x.argmax(1))
    z = backend.array(x.astype(np.float32))
    assert warned(lambda: crossent.cross_entropy(z, y), times=5) == []
    assert warned(lambda: crossent.cross_entropy(z, y, check=True)) == []


def test_each_loss_object_is_looked_at():
    x = torch.from_numpy(P)
    for _ in range(2):
        loss = crossent.nn.CrossEntropyLoss()
        assert len(warned(lambda loss=loss: loss(x, LABELS), times=5)) == misuse.LOOKS


def test_values_on_another_device_are_not_read(monkeypatch):
    monkeypatch.setattr(misuse, "readable", lambda *_: False)
    monkeypatch.setattr(misuse, "values", lambda _: pytest.fail("read"))
    assert warned(lambda: crossent.cross_entropy(torch.from_numpy(P), LABELS, check=True)) == []
