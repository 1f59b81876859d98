"""The inputs of a case: the same numbers for every library, without a copy where libraries share memory."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from .cases import Case

__all__ = ["Inputs", "data_of", "inputs_of", "normalised"]


class Inputs:
    """Logits x and targets of a case, of a linear layer also its input and weight; made when they are first asked for.

    `logits` and the like are float32 NumPy arrays; a narrower dtype is made of them by each library itself.
    """

    def __init__(self, case: Case) -> None:
        self.case = case

    @functools.cached_property
    def logits(self) -> npt.NDArray[np.float32]:
        """Logits of a standard normal distribution."""
        return _normal(self.case.shape)

    @functools.cached_property
    def features(self) -> npt.NDArray[np.float32]:
        """A linear layer's input, (rows, features)."""
        return _normal(self.case.shape[:2])

    @functools.cached_property
    def weight(self) -> npt.NDArray[np.float32]:
        """A linear layer's weight, (classes, features), scaled so that the logits are of size 1."""
        _, features, classes = self.case.shape
        return np.asarray(_normal((classes, features), seed=1) / np.sqrt(features), dtype=np.float32)

    @functools.cached_property
    def target(self) -> npt.NDArray[Any]:
        """Class indices; or probabilities shaped like the logits; or for the binary loss one probability each."""
        random = np.random.default_rng(2)
        if self.case.work == "binary":
            return random.random(self.case.shape, dtype=np.float32)
        if self.case.probabilities:
            return normalised(random.random(self.case.shape, dtype=np.float32))
        rows, classes = self.layout
        return random.integers(0, classes, rows)

    @functools.cached_property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """The softmax of the logits, for what starts from probabilities."""
        return normalised(np.exp(self.logits - self.logits.max(1, keepdims=True)))

    @property
    def layout(self) -> tuple[tuple[int, ...], int]:
        """The shape of the rows, and the number of classes."""
        shape = self.case.shape
        return (shape[:1], shape[2]) if self.case.work == "linear" else ((shape[0], *shape[2:]), shape[1])

    @functools.cached_property
    def torch(self) -> dict[str, Any]:
        """The same as torch tensors of the case's dtype: on the same memory in float32."""
        import torch

        names = ("features", "weight", "target") if self.case.work == "linear" else ("logits", "target")
        tensors = {name: torch.from_numpy(getattr(self, name)) for name in names}
        dtype = getattr(torch, self.case.dtype)
        return {name: x.to(dtype) if x.is_floating_point() else x for name, x in tensors.items()}

    @functools.cached_property
    def refreshed(self) -> Any:
        """A second tensor of the logits, for what writes over them; `prepare` fills it again."""
        return self.torch["logits"].clone().requires_grad_()


def data_of(case: Case) -> Case:
    """The part of a case that its data depends on."""
    work = case.work if case.work in ("binary", "linear") else "rows"
    return Case(work, case.shape, case.dtype, probabilities=case.probabilities)


def inputs_of(case: Case) -> Inputs:
    """The inputs of a case; those of the last one, where they are the same."""
    return _inputs(data_of(case))


@functools.lru_cache(maxsize=1)
def _inputs(data: Case) -> Inputs:
    return Inputs(data)


def normalised(p: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Divide by the sum over the classes, in place."""
    p /= p.sum(1, keepdims=True)
    return p


@functools.lru_cache(maxsize=2)
def _normal(shape: tuple[int, ...], seed: int = 0) -> npt.NDArray[np.float32]:
    """Kept for the next case, which is often of another dtype and the same shape."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
