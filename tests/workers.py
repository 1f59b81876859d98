"""What the tests of processes have others do; a module of its own, since a spawned process imports it by name."""

from __future__ import annotations

import numpy as np
import torch

import crossent


class Losses(torch.utils.data.Dataset):
    """A loss a row, computed in a worker."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        x = torch.arange(12.0).reshape(3, 4) * (index + 1) / 7
        return crossent.cross_entropy(x, torch.tensor([0, 1, 2]))


def loss_of(seed: int) -> float:
    """A loss of random rows."""
    x = np.random.default_rng(seed).normal(size=(50, 30))
    return float(crossent.cross_entropy(x, np.arange(50) % 30))
