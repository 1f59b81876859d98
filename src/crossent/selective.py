"""Log-probabilities of chosen classes, from logits or from hidden states and the linear layer that scores them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _ways
from ._call.options import SelectionOptions, signature_of
from ._definition import Array

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["selective_log_softmax"]


@signature_of(SelectionOptions)
def selective_log_softmax(
    input: Array, index: Array, linear_weight: Array = None, **options: Unpack[SelectionOptions]
) -> Array:
    """The log-probabilities of chosen classes: log_softmax at an index, without the rest of it.

    log p[index] = (z[index] − m) − log1p(r),  m = max z,  r = Σ exp(z − m) − 1

    z is the input; or, with a linear_weight, x·Wᵀ + b of the input x, some rows at a time: no (…, C) array of logits is
    formed, in the backward pass neither. The per-token log-probabilities of policy losses (DPO, GRPO, KTO, PPO).

    Parameters
    ----------
    input
        Logits (…, C); with linear_weight hidden states (…, D). Dtypes and libraries as in `cross_entropy`.
    index
        Classes, of any integer dtype: (…), one a row; or (…, K), K of each row.
    linear_weight, linear_bias, chunk_size
        W (C, D), b (C,) and the rows of logits at one time: see `linear_cross_entropy`.
    ignore_index
        The log-probability at this index is 0, with a derivative of 0.
    where, logit_scale, softcap, temperature, dtype, check
        As in `cross_entropy`, classes last; what `where` leaves out has the log-probability −∞.

    Returns
    -------
    Array
        Log-probabilities in nats, shaped like index, in input's dtype; differentiable where input is.

    Raises
    ------
    ShapeError, DtypeError, OptionError
        For what does not fit together.
    ClassIndexError
        For an index that is no class; where it cannot be read (on a GPU, in a trace) its log-probability is NaN.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> logits = np.array([[2.0, 1.0, 0.1], [0.5, 2.0, 0.3]])
    >>> crossent.selective_log_softmax(logits, np.array([0, 2])).round(4)
    array([-0.417 , -2.0406])
    >>> crossent.selective_log_softmax(logits, np.array([[0, 1], [1, 1]])).round(4)
    array([[-0.417 , -1.417 ],
           [-0.3406, -0.3406]])

    References
    ----------
    R. Rafailov et al., "Direct preference optimization", 2023; Z. Shao et al., "DeepSeekMath" (GRPO), 2024.
    """
    return _ways.selective_log_softmax(input, index, linear_weight, options)
