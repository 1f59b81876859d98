"""Examples, their classes and their weights: checked once, then handed out in batches."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossent.errors import ClassIndexError, DataError, DtypeError, OptionError, ShapeError

__all__ = ["Rows", "build_rows", "check_classes", "check_features", "check_weights", "resolve_class_weight", "take"]

BLOCK_ELEMENTS = 1 << 22


@dataclasses.dataclass(frozen=True)
class Rows:
    """Checked examples: features (a tensor, or a SciPy matrix where sparse), targets of the loss, weights or None."""

    features: Any
    targets: Tensor
    weights: Tensor | None
    class_weight: Tensor | None

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, order: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Hand out the rows in an order, batch by batch; they are gathered many batches at a time."""
        per_block = max(1, BLOCK_ELEMENTS // (batch_size * self.features.shape[1])) * batch_size
        for block in torch.split(order, per_block):
            features = take(self.features, block, order.device)
            weights = itertools.repeat(None) if self.weights is None else torch.split(self.weights[block], batch_size)
            yield from zip(
                torch.split(features, batch_size), torch.split(self.targets[block], batch_size), weights, strict=False
            )


def take(features: Any, index: Tensor | slice, device: torch.device) -> Tensor:
    """Gather rows as a dense tensor on a device."""
    if isinstance(features, Tensor):
        return features[index]
    return torch.from_numpy(features[index.cpu().numpy() if isinstance(index, Tensor) else index].toarray()).to(device)


def build_rows(
    features: Any, classes: Tensor, weights: Tensor | None, class_weight: Tensor | None, *, like: Tensor
) -> Rows:
    """Join checked parts for a network of last bias `like`; rows of weight 0 go, the rest weighs 1 on average."""
    if class_weight is not None:
        weights = class_weight[classes] if weights is None else class_weight[classes] * weights
    if weights is not None:
        kept = check_weights(weights, len(classes), "sample_weight · class_weight").nonzero().squeeze(1)
        features = features[kept.to(features.device) if isinstance(features, Tensor) else kept.numpy()]
        classes, weights = classes[kept], (weights[kept] / weights[kept].mean()).to(like.device, like.dtype)
    targets = classes.unsqueeze(1).to(like.dtype) if len(like) == 1 else classes
    return Rows(features, targets.to(like.device), weights, class_weight)


def check_features(features: Any, n_features: int, dtype: torch.dtype, device: torch.device) -> Any:
    """Turn examples into a finite (rows, n_features) tensor, or a SciPy CSR matrix where they are sparse."""
    if hasattr(features, "tocsr"):
        matrix = features.tocsr().astype(str(dtype).removeprefix("torch."))
        _require_columns(matrix.shape, n_features)
        _require_finite(matrix.data, dtype)
        return matrix
    values = (
        features.detach()
        if isinstance(features, Tensor)
        else _as_array(features, "The features", hint="numbers (encode text and categories first)")
    )
    _require_columns(tuple(values.shape), n_features)
    tensor = torch.as_tensor(values, dtype=dtype, device=device).reshape(len(values), n_features)
    _require_finite(tensor, dtype)
    return tensor


def _as_array(values: Any, name: str, kinds: str = "biuf", hint: str = "numbers") -> np.ndarray[Any, Any]:
    """Turn lists, arrays, tensors and tables into an array of numbers that torch can take without a warning."""
    try:
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    except (ValueError, TypeError) as error:
        raise DtypeError(f"{name} must be {hint}, rows of one length: {error}") from error
    if array.dtype.kind not in kinds:
        raise DtypeError(f"{name} must be {hint}; got dtype {array.dtype}.")
    return np.require(array, requirements=["C", "W"])


def _require_columns(shape: tuple[int, ...], n_features: int) -> None:
    """Raise unless the shape is (rows, n_features) or flattens to it."""
    if len(shape) < 2 or int(np.prod(shape[1:])) != n_features:
        raise ShapeError(
            f"The network takes rows of {n_features} features, shape (N, {n_features}); got shape {shape}."
        )
    if shape[0] == 0:
        raise DataError("There are no rows: got 0 examples, one or more are needed.")


def _require_finite(values: Any, dtype: torch.dtype) -> None:
    """Raise a DataError that says where, if a feature is NaN, infinite or too large for the dtype."""
    if bool(torch.isfinite(torch.as_tensor(values)).all()):
        return
    bad = np.argwhere(~np.isfinite(np.asarray(torch.as_tensor(values).cpu())))
    where = f"row {bad[0][0]}, column {bad[0][1]}" if bad.shape[1] == 2 else f"stored value {bad[0][0]}"
    raise DataError(
        f"The features hold {len(bad)} value(s) that are NaN, infinite or too large for {dtype}, first at {where}. "
        "Fill or drop them, and scale the features."
    )


def check_classes(classes: Any, n_rows: int, n_classes: int) -> Tensor:
    """Turn class indices into an int64 tensor (rows,) of values 0 … n_classes − 1."""
    array = _as_array(classes, "The classes", kinds="biu", hint=f"whole numbers 0 … {n_classes - 1}")
    tensor = torch.from_numpy(array)
    if tuple(tensor.shape) != (n_rows,):
        raise ShapeError(f"There must be one class a row, shape ({n_rows},); got shape {tuple(tensor.shape)}.")
    tensor = tensor.to(torch.int64)
    outside = (tensor < 0) | (tensor >= n_classes)
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        raise ClassIndexError(
            f"Class {int(tensor[row])} in row {row} is outside 0 … {n_classes - 1} ({n_classes} classes). "
            "Are the labels counted from 1?"
        )
    return tensor


def check_weights(weights: Any, n_rows: int, name: str) -> Tensor:
    """Turn weights into a float64 tensor (n_rows,) of finite numbers of at least 0, not all 0."""
    tensor = torch.from_numpy(_as_array(weights, name).astype(np.float64))
    if tuple(tensor.shape) != (n_rows,):
        raise ShapeError(f"{name} must have shape ({n_rows},); got shape {tuple(tensor.shape)}.")
    if not bool((torch.isfinite(tensor) & (tensor >= 0)).all()):
        raise DataError(f"{name} must be finite numbers of at least 0.")
    if not bool((tensor > 0).any()):
        raise DataError(f"{name} is zero everywhere: at least one weight must be above 0.")
    return tensor


def resolve_class_weight(
    class_weight: Any, classes: Tensor, sample_weight: Tensor | None, n_classes: int
) -> Tensor | None:
    """Check the classes' weights; "balanced" gives every class that occurs the same total weight."""
    if class_weight is None:
        return None
    if not isinstance(class_weight, str):
        return check_weights(class_weight, n_classes, "class_weight")
    if class_weight != "balanced":
        raise OptionError(f'class_weight must be "balanced", one number a class, or None; got {class_weight!r}.')
    mass = torch.bincount(classes, weights=sample_weight, minlength=n_classes).double()
    return torch.where(mass > 0, mass.sum() / ((mass > 0).sum() * mass), 0.0)
