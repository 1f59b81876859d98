"""From logits to the training loss and to probabilities: one logit where there are two classes, C where there are C."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["mean_loss", "probabilities", "two_columns"]


def mean_loss(logits: Tensor, targets: Tensor, weights: Tensor | None, label_smoothing: float) -> Tensor:
    """Compute Σ wᵢ·lossᵢ / rows of logits (N, 1) with targets (N, 1), or (N, C) with class indices (N,)."""
    if logits.shape[1] == 1:
        if label_smoothing:
            targets = targets * (1 - label_smoothing) + label_smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, targets, None if weights is None else weights.unsqueeze(1))
    if weights is None:
        return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    return (F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none") * weights).mean()


def two_columns(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Write one logit z as the two logits (0, z); leave more columns as they are."""
    return np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits


def probabilities(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Compute softmax over the classes, shape (N, C); (N, 2) for one logit."""
    return torch.softmax(torch.from_numpy(two_columns(logits)), dim=1).numpy()
