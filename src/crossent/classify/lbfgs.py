"""Softmax regression solved to its optimum by L-BFGS, in coordinates in which every feature counts alike.

    F(W, b) = Σ wᵢ·lossᵢ / S + ½·(1/(C·S) + weight decay)·‖W‖²        S = Σ wᵢ

is scikit-learn's LogisticRegression(C=C), divided by C·S. With x − μ in the place of x (b takes μ up) and W scaled by
d = (σ²/4 + penalty)^(−½), by the diagonal of the second derivative, raw features need few steps more than scaled ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

import crossent
from crossent import binary

__all__ = ["Problem", "Search"]

Array = npt.NDArray[np.float64]
PRECISION = 64 * np.finfo(np.float64).eps  # of the loss, relative


@dataclasses.dataclass
class Problem:
    """Rows X (n, features), dense or sparse, classes (n,), weights (n,) above 0; the penalty is that of F."""

    X: Any
    classes: npt.NDArray[np.int64]
    weights: Array
    n_classes: int
    penalty: float
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        self.total = float(self.weights.sum())
        share = self.weights / self.total
        self.mean = np.asarray(self.X.T @ share).reshape(-1)
        squares = self.X.multiply(self.X) if hasattr(self.X, "multiply") else self.X**2
        variance = np.maximum(np.asarray(squares.T @ share).reshape(-1) - self.mean**2, 0.0)
        curvature = variance / 4 + self.penalty
        self.scale = 1 / np.sqrt(np.where(curvature > 0, curvature, 1.0))[:, None]

    @property
    def outputs(self) -> int:
        """Logits: one where there are two classes."""
        return 1 if self.n_classes == 2 else self.n_classes

    def packed(self, W: Array, b: Array) -> Array:
        """W (features, outputs) and b (outputs,) in the coordinates of the search."""
        return np.concatenate([W / self.scale, (b + self.mean @ W)[None]]).ravel()

    def unpacked(self, point: Array) -> tuple[Array, Array]:
        """The way back."""
        parts = point.reshape(-1, self.outputs)
        W = parts[:-1] * self.scale
        return W, parts[-1] - self.mean @ W

    def value_and_gradient(self, point: Array) -> tuple[float, Array]:
        """F and its derivative in those coordinates."""
        W, b = self.unpacked(point)
        loss, g = self._loss(np.asarray(self.X @ W) + b)
        by_bias = g.sum(0)
        by_W = np.asarray(self.X.T @ g) - self.mean[:, None] * by_bias + self.penalty * W
        return loss + self.penalty * float((W * W).sum()) / 2, np.concatenate(
            [by_W * self.scale, by_bias[None]]
        ).ravel()

    def _loss(self, z: Array) -> tuple[float, Array]:
        """Σ wᵢ·lossᵢ / S and its derivative by the logits."""
        share = self.weights / self.total
        options: dict[str, Any] = {"label_smoothing": self.label_smoothing, "reduction": "sum", "check": False}
        if self.outputs > 1:
            loss, g = crossent.cross_entropy_with_grad(z, self.classes, sample_weight=share, **options)
        else:
            targets = self.classes[:, None].astype(z.dtype)
            loss, g = binary.loss_and_gradient(z, targets, share[:, None], **options)
        return float(loss), np.asarray(g)


class Search:
    """The minimisation of F: `at` is (W, b) after the last finished step, also where an interrupt ends it."""

    def __init__(self, problem: Problem, start: tuple[Array, Array], on_step: Callable[[float], object]) -> None:
        self.problem, self.on_step, self.point = problem, on_step, problem.packed(*start)
        self.converged = False

    @property
    def at(self) -> tuple[Array, Array]:
        """W (features, outputs) and b (outputs,)."""
        return self.problem.unpacked(self.point)

    def run(self, most: int, tolerance: float) -> None:
        """Make at most so many steps, until no derivative is above the tolerance."""
        options = {
            "maxiter": most,
            "maxfun": 20 * most,
            "gtol": tolerance,
            "ftol": PRECISION,
            "maxls": 50,
            "maxcor": 50,
        }
        function = self.problem.value_and_gradient
        done = optimize.minimize(
            function, self.point, jac=True, method="L-BFGS-B", callback=self._note, options=options
        )
        self.point, self.converged = done.x, bool(done.success)

    def _note(self, intermediate_result: Any) -> None:
        """Keep a step; scipy calls its argument by this name."""
        self.point = intermediate_result.x.copy()
        self.on_step(float(intermediate_result.fun))
