"""Errors in units of the last place (ulp): ours, PyTorch's and SciPy's, against arithmetic of 60 digits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import scipy.special
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import crossent

from .style import Theme

NAMES = ("crossent", "PyTorch", "SciPy")
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DIGITS = {"float64": 53, "float32": 24, "bfloat16": 8, "float16": 11}
SMALLEST = {"float64": -1074, "float32": -149, "bfloat16": -133, "float16": -24}
mpmath.mp.dps = 60


def exact(z: list[float], target: int) -> tuple[Any, list[Any]]:
    """The loss and the gradient of one row, in 60 digits."""
    terms = [mpmath.exp(mpmath.mpf(value) - max(z)) for value in z]
    others = sum(terms) - terms[z.index(max(z))]
    loss = mpmath.log1p(others) - (mpmath.mpf(z[target]) - max(z))
    p = [term / sum(terms) for term in terms]
    rest = sum(value for place, value in enumerate(p) if place != target)
    return loss, [-rest if place == target else value for place, value in enumerate(p)]


def ulps(got: float, right: Any, dtype: str) -> float:
    """The distance from the right value in ulps of the dtype there."""
    if not np.isfinite(got):
        return np.inf
    exponent = mpmath.frexp(right)[1] if right else SMALLEST[dtype]
    return float(abs(mpmath.mpf(got) - right) / mpmath.ldexp(1, max(exponent - DIGITS[dtype], SMALLEST[dtype])))


def losses(rows: torch.Tensor, targets: torch.Tensor) -> dict[str, list[float]]:
    """The rows' losses by each library."""
    found = {
        "crossent": crossent.cross_entropy(rows, targets, reduction="none", check=False).double().tolist(),
        "PyTorch": torch.nn.functional.cross_entropy(rows, targets, reduction="none").double().tolist(),
    }
    if rows.dtype in (torch.float32, torch.float64):
        log_p = scipy.special.log_softmax(rows.numpy(), axis=1)
        found["SciPy"] = (-log_p[np.arange(len(rows)), targets.numpy()]).astype(np.float64).tolist()
    return found


def gradients(rows: torch.Tensor, targets: torch.Tensor) -> dict[str, list[list[float]]]:
    """The rows' gradients by each library that has one."""
    found = {}
    functions: dict[str, Callable[..., Any]] = {
        "crossent": functools.partial(crossent.cross_entropy, check=False),
        "PyTorch": torch.nn.functional.cross_entropy,
    }
    for name, function in functions.items():
        x = rows.clone().requires_grad_()
        function(x, targets, reduction="sum").backward()
        found[name] = x.grad.double().tolist()
    return found


def loss_errors(rows: torch.Tensor, targets: torch.Tensor, dtype: str) -> dict[str, list[float]]:
    """Each library's errors, row by row."""
    right = [exact(z, y)[0] for z, y in zip(rows.double().tolist(), targets.tolist(), strict=True)]
    found = losses(rows, targets)
    return {name: [ulps(g, r, dtype) for g, r in zip(got, right, strict=True)] for name, got in found.items()}


def gradient_errors(rows: torch.Tensor, targets: torch.Tensor, dtype: str) -> dict[str, list[float]]:
    """Each library's largest error in a row."""
    right = [exact(z, y)[1] for z, y in zip(rows.double().tolist(), targets.tolist(), strict=True)]
    found = gradients(rows, targets)
    return {
        name: [max(ulps(g, r, dtype) for g, r in zip(*pair, strict=True)) for pair in zip(got, right, strict=True)]
        for name, got in found.items()
    }


@functools.cache
def confident() -> tuple[np.ndarray, dict[str, list[float]], dict[str, list[float]]]:
    """Rows (g, 0, 0.5) whose true class is ever surer, in float32: 1 − p, and the errors of loss and gradient."""
    gaps = np.linspace(0.1, 40, 180, dtype=np.float32)
    rows = torch.stack([torch.tensor([gap, 0.0, 0.5]) for gap in gaps])
    targets = torch.zeros(len(rows), dtype=torch.int64)
    rest = np.array([float(-exact(z, 0)[1][0]) for z in rows.double().tolist()])
    return rest, loss_errors(rows, targets, "float32"), gradient_errors(rows, targets, "float32")


@functools.cache
def offset() -> tuple[np.ndarray, dict[str, list[float]]]:
    """Rows (3, 0, 1) moved by 1 … 1e8, in float32; the right loss is that of the moved, rounded row."""
    offsets = np.geomspace(1, 3e7, 120)
    rows = torch.tensor(np.array([[3.0, 0.0, 1.0]]) + offsets[:, None]).float()
    errors = loss_errors(rows, torch.zeros(len(rows), dtype=torch.int64), "float32")
    right = [exact(z, 0)[0] for z in rows.double().tolist()]
    plain = (torch.logsumexp(rows, 1) - rows[:, 0]).double().tolist()
    errors["lse − z_y"] = [ulps(got, r, "float32") for got, r in zip(plain, right, strict=True)]
    return offsets, errors


@functools.cache
def dtypes() -> dict[str, tuple[dict[str, float], dict[str, float]]]:
    """The largest errors over 150 random rows of 10 classes, some sure and some unsure, by dtype."""
    generator = np.random.default_rng(0)
    scale = np.repeat(np.array([0.5, 3.0, 10.0]), 50)[:, None]
    drawn = generator.standard_normal((150, 10)) * scale
    targets = torch.tensor(np.where(generator.random(150) < 0.5, drawn.argmax(1), generator.integers(0, 10, 150)))
    found = {}
    for name, dtype in DTYPES.items():
        rows = torch.tensor(drawn).to(dtype)
        worst = [
            {who: max(each) for who, each in errors(rows, targets, name).items()}
            for errors in (loss_errors, gradient_errors)
        ]
        found[name] = (worst[0], worst[1])
    return found


def _curves(axes: Axes, x: np.ndarray, errors: dict[str, list[float]], theme: Theme) -> None:
    """One line a library, on two logarithmic axes; errors below a tenth of an ulp are drawn there."""
    for name, each in errors.items():
        floor = np.maximum(each, 0.1)
        colour = theme.wrong if name.startswith("lse") else theme.of(name)
        axes.plot(x, floor, color=colour, label=name, linewidth=1.5 if name == "crossent" else 1.2)
    axes.set(xscale="log", yscale="log", ylabel="error (ulp)")
    axes.axhline(1, color=theme.ink, linewidth=0.8, linestyle=":")


def draw_confident(theme: Theme) -> Figure:
    """The error of the loss and of the gradient over 1 − p."""
    rest, of_loss, of_gradient = confident()
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True)
    for axes, errors, title in zip(panels, (of_loss, of_gradient), ("loss", "gradient, worst class"), strict=True):
        _curves(axes, rest, errors, theme)
        axes.set(xlabel="1 − p of the true class", title=f"float32: {title}")
        axes.invert_xaxis()
        axes.legend()
    return figure


def draw_offset(theme: Theme) -> Figure:
    """The error of the loss over an offset that all logits have."""
    offsets, errors = offset()
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    _curves(axes, offsets, errors, theme)
    axes.set(xlabel="offset of the whole row", title="float32: loss of (3, 0, 1) + offset")
    axes.legend()
    return figure


def draw_dtypes(theme: Theme) -> Figure:
    """The largest errors by dtype: bars side by side."""
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True)
    for axes, part, title in zip(panels, (0, 1), ("loss", "gradient"), strict=True):
        _grouped(axes, {dtype: worst[part] for dtype, worst in dtypes().items()}, theme)
        axes.set(yscale="log", ylabel="largest error (ulp)", title=f"150 rows of 10 classes: {title}")
        axes.legend()
    return figure


def _grouped(axes: Axes, found: dict[str, dict[str, float]], theme: Theme) -> None:
    """A group of bars for each dtype."""
    for place, name in enumerate(NAMES):
        heights = [max(worst.get(name, 0.0), 0.01) if name in worst else np.nan for worst in found.values()]
        if not np.isnan(heights).all():
            axes.bar(np.arange(len(found)) + 0.27 * (place - 1), heights, 0.25, color=theme.of(name), label=name)
    axes.set_xticks(range(len(found)), list(found))


def draw_saturation(theme: Theme) -> Figure:
    """The loss and the gradient of a wrong binary prediction: from the logit, and from its sigmoid."""
    z = torch.linspace(0, 40, 161)
    target = torch.zeros_like(z)
    figure = Figure(figsize=(9.2, 3.2), layout="constrained")
    panels: Any = figure.subplots(1, 2)
    for name, colour, loss in (
        ("logits: crossent", theme.ours, crossent.binary_cross_entropy_with_logits),
        ("sigmoid, then BCELoss", theme.wrong, _sigmoid_first),
    ):
        x = z.clone().requires_grad_()
        values = loss(x, target, reduction="none")
        values.sum().backward()
        panels[0].plot(z, values.detach(), color=colour, label=name)
        panels[1].plot(z, x.grad, color=colour, label=name)
    panels[0].set(xlabel="logit, where the target is 0", title="float32: loss")
    panels[1].set(xlabel="logit, where the target is 0", title="float32: gradient")
    panels[0].legend()
    return figure


def _sigmoid_first(x: torch.Tensor, y: torch.Tensor, reduction: str) -> torch.Tensor:
    """The way that loses it."""
    return torch.nn.functional.binary_cross_entropy(torch.sigmoid(x), y, reduction=reduction)
