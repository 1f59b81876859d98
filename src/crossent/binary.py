"""The binary losses: cross-entropy of two classes, one number an element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _reduction, _ways
from ._call.canonical import Call
from ._call.options import BinaryOptions, ProbabilityOptions, signature_of, validated
from ._definition import Array
from ._door import rows as door
from .backends import agnostic

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits"]


@signature_of(BinaryOptions)
def binary_cross_entropy_with_logits(
    input: Array, target: Array, weight: Array = None, **options: Unpack[BinaryOptions]
) -> Array:
    """The binary cross-entropy from logits: the cross-entropy of rows (x, 0) with targets q = (y, 1 − y).

    loss = w·log1p(exp(−|x|)) + |x|·(the mass of q on the other side of x)

    Parameters
    ----------
    input
        Logits of any shape: raw scores, no sigmoid before.
    target
        Labels 0 and 1 of any dtype, or probabilities, shaped like input: shapes are never broadcast.
    weight
        A factor for each element, or a shape that broadcasts to input.
    pos_weight
        A factor for the positive class, broadcast along the last axes: (outputs,) or one number.
    reduction
        "mean" over the elements that count, "sum" or "none"; `weight` has no part in its divisor, as in torch.
    label_smoothing
        ε in 0 … 1: y becomes (1 − ε)·y + ε/2.
    ignore_index
        Elements with this target count for nothing, whatever their logits hold (255 in many masks); None ignores none.
    sample_weight
        One factor for each sample, (N,), or for each element. A mean divides by its sum over the elements that count.
    softcap, temperature, denominator, on_empty, dtype, check
        As in `cross_entropy`.

    Returns
    -------
    Array
        The reduced loss in nats, or input's shape with reduction="none". At ±∞ the exact limits, never NaN.

    Raises
    ------
    ShapeError, DtypeError, ArrayTypeError, OptionError
        For what does not fit together.
    ProbabilityError
        For a target outside 0 … 1.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> float(crossent.binary_cross_entropy_with_logits(np.array([20.0]), np.array([0.0])))
    20.000000002061153

    References
    ----------
    D. R. Cox, "The regression analysis of binary sequences", Journal of the Royal Statistical Society B, 1958.
    """
    return _ways.binary_cross_entropy_with_logits(input, target, weight, options)


def loss_and_gradient(
    input: Array, target: Array, weight: Array = None, **options: Unpack[BinaryOptions]
) -> tuple[Array, Array]:
    """The binary cross-entropy from logits and its derivative by input, without autograd.

    d loss/dx = negative·σ(x) − positive·σ(−x)

    Parameters and errors are those of `binary_cross_entropy_with_logits`; with reduction="none" the derivative of each
    element's own loss is given.
    """
    return _ways.binary_with_gradient(input, target, weight, options)


@signature_of(ProbabilityOptions)
def binary_cross_entropy(
    probs: Array, target: Array, weight: Array = None, **options: Unpack[ProbabilityOptions]
) -> Array:
    """The binary cross-entropy of given probabilities; with logits at hand, prefer the loss that takes them.

    loss = −y·log p − (1 − y)·log(1 − p), each logarithm held above −100 as in torch

    Parameters
    ----------
    probs
        Probabilities 0 … 1, as a sigmoid gives them. Where they were rounded to 0 or 1 the loss can only guess.
    target, weight, pos_weight, reduction, label_smoothing, ignore_index, sample_weight
        As in `binary_cross_entropy_with_logits`.
    denominator, on_empty, dtype, check
        As in `binary_cross_entropy_with_logits`.

    Raises
    ------
    ProbabilityError
        For a number outside 0 … 1: were logits given?
    ShapeError, DtypeError, ArrayTypeError, OptionError
        For what does not fit together.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> float(crossent.binary_cross_entropy(np.array([0.7]), np.array([1.0])).round(4))
    0.3567

    References
    ----------
    See `binary_cross_entropy_with_logits`.
    """
    name = "binary_cross_entropy"
    given = validated(name, weight, options, ProbabilityOptions)
    call = door.binary(name, probs, target, given)
    if given.check is not False:
        fix = "for logits use binary_cross_entropy_with_logits"
        door.check_unit_interval(Call(name, call.x, call.y, given), "probs", call.x, fix)
    with _ways.quiet(call.x):
        loss = agnostic.binary_cross_entropy(call)
        return _reduction.reduce_elements(loss, call.options, call.dtype)
