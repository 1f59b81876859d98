"""The focal losses: cross-entropy in which what is already certain counts less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _ways
from ._call.options import FocalOptions, SigmoidFocalOptions, signature_of
from ._definition import Array

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["focal_loss", "sigmoid_focal_loss"]


@signature_of(FocalOptions)
def focal_loss(input: Array, target: Array, weight: Array = None, **options: Unpack[FocalOptions]) -> Array:
    """The focal loss of rows of logits: each class's cross-entropy times a power of what its probability lacks.

    loss = Σ q·(1 − p)^γ·(−log p),  p = softmax(x),  1 − p = −expm1(log p): exact at p → 1

    Parameters
    ----------
    input
        Logits, shape (N, C), (C,) or (N, C, d₁, …), as in `cross_entropy`.
    target
        Class indices, probabilities or one-hot, as in `cross_entropy`.
    weight
        One weight a class, shape (C,); a mean over class indices divides by the weights of the targets.
    alpha
        A factor, or one a class, beside `weight`, that has no part in the mean's divisor; 0 or more.
    gamma
        γ, 0 or more: 0 is the cross-entropy, 2 the paper's choice.
    ignore_index, reduction, label_smoothing, axis, where, sample_weight, temperature
        As in `cross_entropy`.
    denominator, on_empty, dtype, check
        As in `cross_entropy`.

    Returns
    -------
    Array
        The reduced loss in nats, or one number a row with reduction="none".

    Raises
    ------
    ShapeError, DtypeError, ArrayTypeError, AxisError, OptionError
        For what does not fit together.
    ClassIndexError, ProbabilityError
        For a target that is no class, or no probabilities.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> x, y = np.array([[2.0, 1.0, 0.1]]), np.array([0])
    >>> float(crossent.focal_loss(x, y).round(4)), float(crossent.cross_entropy(x, y).round(4))
    (0.0485, 0.417)

    References
    ----------
    T.-Y. Lin et al., "Focal loss for dense object detection", 2017.
    """
    return _ways.focal_loss(input, target, weight, options)


@signature_of(SigmoidFocalOptions)
def sigmoid_focal_loss(
    input: Array, target: Array, weight: Array = None, **options: Unpack[SigmoidFocalOptions]
) -> Array:
    """The focal loss of binary logits, with the meaning and the defaults of `torchvision.ops.sigmoid_focal_loss`.

    loss = α_y·(1 − p_y)^γ·(−y·log p − (1 − y)·log(1 − p)),  p = σ(x),  1 − p_y = y·σ(−x) + (1 − y)·σ(x),
    α_y = α·y + (1 − α)·(1 − y)

    Parameters
    ----------
    input
        Logits of any shape: raw scores, no sigmoid before.
    target
        Labels 0 and 1 of any dtype, or probabilities, shaped like input.
    weight
        A factor for each element, or a shape that broadcasts to input.
    alpha
        α in 0 … 1, the factor of the positive class; None or a negative number switches it off.
    gamma
        γ, 0 or more: 0 is the binary cross-entropy, weighted by α.
    reduction
        "none", "sum", or "mean" over the elements that count.
    label_smoothing
        ε in 0 … 1: y becomes (1 − ε)·y + ε/2, everywhere in the formula.
    ignore_index, sample_weight, temperature, denominator, on_empty, dtype, check
        As in `binary_cross_entropy_with_logits`.

    Returns
    -------
    Array
        The losses in nats, shaped like input, or their reduction. At ±∞ the exact limits, never NaN.

    Raises
    ------
    ShapeError, DtypeError, ArrayTypeError, OptionError
        For what does not fit together.
    ProbabilityError
        For a target outside 0 … 1.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> crossent.sigmoid_focal_loss(np.array([2.0, 2.0]), np.array([1.0, 0.0])).round(4)
    array([5.0000e-04, 1.2376e+00])

    References
    ----------
    T.-Y. Lin et al., "Focal loss for dense object detection", 2017.
    """
    return _ways.sigmoid_focal_loss(input, target, weight, options)
