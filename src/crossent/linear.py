"""The losses of a linear layer: logits = x·Wᵀ + b and their cross-entropy, in the memory of a few rows of logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from . import _ways
from ._call.arrays import scalar
from ._call.canonical import ExtraRowStats, RowStats
from ._call.options import LinearLossOptions, LinearOptions, LinearStatsOptions, signature_of
from ._definition import Array

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["LinearGradients", "linear_cross_entropy", "linear_cross_entropy_with_grad", "linear_row_stats"]


class LinearGradients(NamedTuple):
    """The derivatives that `linear_cross_entropy_with_grad` returns; `linear_bias` is None without a bias."""

    input: Array
    linear_weight: Array
    linear_bias: Array


@signature_of(LinearLossOptions)
def linear_cross_entropy(
    input: Array, linear_weight: Array, target: Array, *, options: Any = None, **given: Unpack[LinearLossOptions]
) -> Any:
    """The cross-entropy of a linear layer, without its logits: they are formed a few rows at a time.

    loss = w·log1p(r) − t of the rows z = x·Wᵀ + b,  m = max z,  r = Σ exp(z − m) − 1,  t = Σ q·(z − m),  w = Σ q

    With the loss the derivatives are formed, chunk by chunk, of what requires one; those by the weight and the bias are
    summed in float32 or wider. Memory beside inputs and gradients is that of one chunk, whatever the batch.

    Parameters
    ----------
    input
        Features (…, D), (N, D) or (D,): float16, bfloat16, float32 or float64.
    linear_weight
        W of shape (C, D) and input's dtype; under torch's autocast any, the products are then autocast's.
        (C, d₁, …, D) for K-dimensional losses of input (N, D), as in torch: these store their logits.
    target
        Class indices shaped like input without D, or probabilities (…, C).
    options
        torch's LinearCrossEntropyOptions, whose `batch_chunk_size` is taken; the other choices are not needed.
    linear_bias
        b of shape (C,).
    weight, reduction, ignore_index, label_smoothing, where, sample_weight, z_loss, logit_scale, softcap, temperature
        As in `cross_entropy`, classes last. A row that does not count costs no product on a CPU, and what its features
        hold reaches no gradient. sample_weight and where belong to the target.
    denominator, on_empty, dtype, check
        As in `cross_entropy`.
    shift
        k > 0: position i of input's second-to-last axis predicts target i + k, without a copy of input; the rows of
        reduction="none" are then L − k. Give input and target of the same L positions.
    chunk_size
        Rows of logits at one time; by default as many as fit into 48 MiB, and no fewer than 128.
    recompute
        reduction="none" forms its logits again in the backward pass; False stores them all, and saves one product.
    return_stats
        True gives (loss, RowStats): see `linear_row_stats`. Their derivatives form the logits again.
    extra, top_k
        With return_stats: more statistics, as in `row_stats`.

    Returns
    -------
    Array
        As `cross_entropy`, in nats; with return_stats a pair.

    Raises
    ------
    See `cross_entropy`; ShapeError and DtypeError also for layers that do not fit together.

    Notes
    -----
    Chunks serve NumPy and eager torch; torch.compile too, without return_stats. Transforms (torch.func, dual numbers),
    second derivatives, JAX and other libraries, and a target, weight or denominator that requires grad take the same
    loss on all the logits.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> x, W = np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]])
    >>> float(crossent.linear_cross_entropy(x, W, np.array([1, 0])).round(4))
    0.3883

    References
    ----------
    E. Wijmans et al., "Cut your losses in large-vocabulary language models", 2025; P.-L. Hsu et al., "Liger kernel:
    efficient Triton kernels for LLM training", 2025.
    """
    return _ways.linear_cross_entropy(input, linear_weight, target, given, options)


@signature_of(LinearOptions)
def linear_cross_entropy_with_grad(
    input: Array, linear_weight: Array, target: Array, **given: Unpack[LinearOptions]
) -> tuple[Array, LinearGradients]:
    """The cross-entropy of a linear layer and its derivatives, for arrays without autograd.

    d loss/dx = G·W,  d loss/dW = Gᵀ·x,  d loss/db = Σ G,  G = w·softmax(z) − q a row

    Parameters are those of `linear_cross_entropy`. With reduction="none" the derivatives of the sum of the rows' losses
    are given.

    Returns
    -------
    (loss, LinearGradients)
        The gradients by input, linear_weight and linear_bias (None without one), in their shapes and dtypes.

    Raises
    ------
    See `linear_cross_entropy`.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> x, W = np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]])
    >>> loss, gradients = crossent.linear_cross_entropy_with_grad(x, W, np.array([1, 0]))
    >>> gradients.linear_weight.round(3)
    array([[ 0.045,  0.399],
           [-0.129, -0.412],
           [ 0.084,  0.013]])

    References
    ----------
    See `linear_cross_entropy`.
    """
    value, parts = _ways.linear_cross_entropy_with_grad(input, linear_weight, target, given)
    return scalar(value), LinearGradients(*parts)


@signature_of(LinearStatsOptions)
def linear_row_stats(
    input: Array, linear_weight: Array, target: Array = None, **given: Unpack[LinearStatsOptions]
) -> RowStats | ExtraRowStats:
    """What each row of a linear layer's logits tells, without the logits: see `row_stats`.

    lse = m + log1p(r),  entropy = log1p(r) − u/(1 + r),  confidence = 1/(1 + r)  of the rows z = x·Wᵀ + b

    Parameters
    ----------
    input, linear_weight, target
        As in `linear_cross_entropy`, and its options too; without a target, `loss` and `target_log_prob` are None.
    extra, top_k
        More statistics, as in `row_stats`, chunk by chunk.

    Returns
    -------
    RowStats
        Arrays shaped like the rows, differentiable in torch (`prediction` is not); derivatives form the logits again.

    Raises
    ------
    See `linear_cross_entropy`.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> stats = crossent.linear_row_stats(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]]))
    >>> stats.prediction, stats.confidence.round(4)
    (array([1]), array([0.6652]))

    References
    ----------
    See `row_stats` and `linear_cross_entropy`.
    """
    return _ways.linear_row_stats(input, linear_weight, target, given)
