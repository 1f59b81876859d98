"""From logits to the training loss and to probabilities: one logit where there are two classes, C where there are C."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

import crossent
from crossent import binary

__all__ = ["log_probabilities", "loss_and_gradient", "mean_loss", "probabilities"]


def loss_and_gradient(
    logits: Tensor, targets: Tensor, weights: Tensor | None, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    """Compute `mean_loss` and its derivative by the logits."""
    if logits.shape[1] > 1:
        options: dict[str, Any] = {"label_smoothing": label_smoothing, "check": False}
        if weights is not None:
            options |= {"sample_weight": weights, "denominator": len(targets)}
        loss, gradient = crossent.cross_entropy_with_grad(logits, targets, **options)
        return loss, gradient
    column = None if weights is None else weights.unsqueeze(1)
    return binary.loss_and_gradient(logits, targets, column, label_smoothing=label_smoothing, check=False)


def mean_loss(logits: Tensor, targets: Tensor, weights: Tensor | None, label_smoothing: float) -> Tensor:
    """Compute Σ wᵢ·lossᵢ / rows of logits (N, 1) with targets (N, 1), or (N, C) with class indices (N,)."""
    loss: Tensor
    options: dict[str, Any] = {"label_smoothing": label_smoothing, "check": False}
    if logits.shape[1] == 1:
        column = None if weights is None else weights.unsqueeze(1)
        loss = crossent.binary_cross_entropy_with_logits(logits, targets, column, **options)
    elif weights is None:
        loss = crossent.cross_entropy(logits, targets, **options)
    else:
        loss = crossent.cross_entropy(logits, targets, sample_weight=weights, denominator=len(targets), **options)
    return loss


def _two_columns(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Write one logit z as the two logits (0, z); leave more columns as they are."""
    wide = logits.astype(np.float64)
    return np.hstack([np.zeros_like(wide), wide]) if logits.shape[1] == 1 else wide


def probabilities(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Compute softmax over the classes in float64, shape (N, C); (N, 2) for one logit."""
    return np.asarray(crossent.softmax(_two_columns(logits), axis=1))


def log_probabilities(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Compute log-softmax over the classes in float64, shape (N, C); (N, 2) for one logit."""
    return np.asarray(crossent.log_softmax(_two_columns(logits), axis=1))
