"""The focal losses: in every way, exact where the class is certain, with torchvision's meaning."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch

import crossent
from crossent.errors import OptionError, ShapeError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 5)), np.array([0, 1, 2, 3, 4, 0])
ALPHA = RNG.uniform(0.2, 1, 5)
LABELS = np.array([[0.0, 1.0, 0.3, 1.0, 0.0]] * 6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_formulas(backend, gamma) -> None:
    p = np.exp(X) / np.exp(X).sum(-1, keepdims=True)
    q = np.eye(5)[Y] * 0.9 + 0.02
    expected = (q * ALPHA * (1 - p) ** gamma * -np.log(p)).sum(-1)
    x, y, alpha = backend.array(X), backend.array(Y), backend.array(ALPHA)
    value = crossent.focal_loss(x, y, alpha=alpha, gamma=gamma, label_smoothing=0.1)
    np.testing.assert_allclose(backend.numpy(value), expected.mean(), rtol=1e-12)
    s = 1 / (1 + np.exp(-X))
    inner = s * LABELS + (1 - s) * (1 - LABELS)
    loss = -LABELS * np.log(s) - (1 - LABELS) * np.log(1 - s)
    expected = (0.25 * LABELS + 0.75 * (1 - LABELS)) * loss * (1 - inner) ** gamma
    value = crossent.sigmoid_focal_loss(x, backend.array(LABELS), gamma=gamma)
    np.testing.assert_allclose(backend.numpy(value), expected, rtol=1e-12)


def test_exact_where_the_class_is_certain() -> None:
    with mpmath.workdps(60):
        logit = mpmath.mpf(46.0)

        def exact(z):
            rest = 1 / (1 + mpmath.exp(z))
            return -(rest**2) * mpmath.log(1 - rest)

        value, slope = float(exact(logit)), float(mpmath.diff(exact, logit))
    x = torch.tensor([[46.0, 0.0]], dtype=torch.float64, requires_grad=True)
    z = torch.tensor([46.0], dtype=torch.float64, requires_grad=True)
    crossent.focal_loss(x, torch.tensor([0])).backward()
    one = crossent.sigmoid_focal_loss(z, torch.ones(1, dtype=torch.float64), alpha=-1)
    one.sum().backward()
    assert crossent.focal_loss(x, torch.tensor([0])).item() == pytest.approx(value, rel=1e-13, abs=0)
    assert one.item() == pytest.approx(value, rel=1e-13, abs=0)
    assert x.grad[0, 0].item() == pytest.approx(slope, rel=1e-13, abs=0)
    assert z.grad.item() == pytest.approx(slope, rel=1e-13, abs=0)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_derivatives_and_graphs(gamma) -> None:
    x, y, t = torch.tensor(X[:2], requires_grad=True), torch.tensor(Y[:2]), torch.tensor(LABELS[:2])
    for loss in (
        lambda z: crossent.focal_loss(z, y, alpha=0.5, gamma=gamma),
        lambda z: crossent.sigmoid_focal_loss(z, t, gamma=gamma),
    ):
        assert torch.autograd.gradcheck(loss, x)
        assert torch.autograd.gradgradcheck(loss, x)
        torch.testing.assert_close(torch.compile(loss, backend="aot_eager", fullgraph=True)(x), loss(x))
    far = torch.tensor([[2000.0, 0.0]], requires_grad=True)
    crossent.focal_loss(far, torch.tensor([0]), gamma=gamma).backward()
    assert far.grad.tolist() == [[0.0, 0.0]]


def test_modules_and_what_is_refused() -> None:
    x, y, t = torch.tensor(X), torch.tensor(Y), torch.tensor(LABELS)
    own = crossent.focal_loss(x, y, alpha=ALPHA, gamma=1.0)
    torch.testing.assert_close(crossent.nn.FocalLoss(alpha=torch.tensor(ALPHA), gamma=1.0)(x, y), own)
    torch.testing.assert_close(crossent.nn.SigmoidFocalLoss()(x, t), crossent.sigmoid_focal_loss(x, t))
    with pytest.raises(ShapeError, match=r"alpha has shape \(2,\), but input has 5 classes"):
        crossent.focal_loss(X, Y, alpha=[1.0, 2.0])
    with pytest.raises(OptionError, match="alpha holds a number that is negative"):
        crossent.focal_loss(X, Y, alpha=-1.0)
    with pytest.raises(OptionError, match=r"alpha=2\.0, expected a number from 0 to 1"):
        crossent.sigmoid_focal_loss(X, LABELS, alpha=2.0)
    with pytest.raises(OptionError, match="gamma=-1"):
        crossent.focal_loss(X, Y, gamma=-1)
