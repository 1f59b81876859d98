"""The losses of a linear layer: logits = x·Wᵀ + b and their cross-entropy, in the memory of a few rows of logits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _reduction, _ways, losses
from ._call.arrays import is_numpy, is_torch, move_axis, scalar
from ._call.options import LinearLossOptions, LinearOptions, LinearStatsOptions, signature_of, validated
from ._definition import Array, namespace
from ._door.layer import Head, head, selected, unattached, whole
from ._door.targets import is_compiling
from ._linear import chunks

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
    weight, reduction, ignore_index, label_smoothing, where, sample_weight, z_loss, softcap, temperature
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
    if options is None and is_torch(input) and is_torch(target) and not is_compiling():
        from ._torch import linear as torch_linear

        value = torch_linear.quick(input, linear_weight, target, {**given})
        if value is not None:
            return value
    call = _head("linear_cross_entropy", input, linear_weight, target, {**_sized(options), **given}, LinearLossOptions)
    if is_torch(call.x):
        from ._torch import linear as torch_linear

        return torch_linear.cross_entropy(call)
    stats = call.rows.options.return_stats
    if not _by_chunks(call):
        value = losses.reduced(whole(call))
        return (value, _whole_stats(call)) if stats else value
    done = chunks.forward(call, stats=stats)
    value = scalar(done.value)
    return (value, _stats(call, done.loss, done.stats)) if stats else value


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
    call = unattached(_head("linear_cross_entropy_with_grad", input, linear_weight, target, {**given}, LinearOptions))
    value, parts = _value_and_gradients(call)
    return scalar(value), LinearGradients(_shifted_back(call, parts[0]), *parts[1:])


@signature_of(LinearStatsOptions)
def linear_row_stats(
    input: Array, linear_weight: Array, target: Array = None, **given: Unpack[LinearStatsOptions]
) -> losses.RowStats:
    """What each row of a linear layer's logits tells, without the logits: see `row_stats`.

    lse = m + log1p(r),  entropy = log1p(r) − u/(1 + r),  confidence = 1/(1 + r)  of the rows z = x·Wᵀ + b

    Parameters
    ----------
    input, linear_weight, target
        As in `linear_cross_entropy`, and its options too; without a target, `loss` and `target_log_prob` are None.

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
    call = _head("linear_row_stats", input, linear_weight, target, {**given}, LinearStatsOptions)
    if is_torch(call.x):
        from ._torch import linear as torch_linear

        return torch_linear.row_stats(call)
    if not _by_chunks(call):
        return _whole_stats(call)
    if target is None:
        return _stats(call, None, chunks.statistics(call))
    done = chunks.forward(call, stats=True)
    return _stats(call, done.loss, done.stats)


def _head(function: str, input: Any, linear_weight: Any, target: Any, given: dict[str, Any], allowed: type) -> Head:
    """The validated call; None for ignore_index is torch's way to leave it at -100."""
    if given.get("ignore_index", 0) is None:
        del given["ignore_index"]
    chosen = validated(function, given.pop("weight", None), given, allowed)
    return head(function, input, linear_weight, target, chosen, needs_target=allowed is not LinearStatsOptions)


def _shifted_back(call: Head, by_input: Array) -> Array:
    """The derivative by the whole input: 0 at the last positions, which predict nothing."""
    shift, xp = call.rows.options.shift, namespace(by_input)
    if not shift:
        return by_input
    shape = (*by_input.shape[:-2], shift, by_input.shape[-1])
    last = xp.zeros(shape, dtype=by_input.dtype, device=getattr(by_input, "device", None))
    return xp.concat([by_input, last], axis=-2)


def _sized(options: Any) -> dict[str, Any]:
    """The chunk size that torch's options name."""
    size = getattr(options, "batch_chunk_size", None)
    return {} if size is None else {"chunk_size": size}


def _by_chunks(call: Head) -> bool:
    """Whether the arrays are NumPy's, and the layer one of a row of classes."""
    return is_numpy(call.x) and call.weight.ndim == 2


def _stats(call: Head, loss: Array, told: Any) -> losses.RowStats:
    """The statistics in the result's dtype."""
    parts = [loss, *told]
    kinds = [part if part is None or k == 3 else part.astype(call.rows.dtype) for k, part in enumerate(parts)]
    return losses.RowStats(*(None if part is None else scalar(part) for part in kinds))


def _whole_stats(call: Head) -> losses.RowStats:
    """The statistics of all the logits."""
    return losses.statistics(whole(call, every_row=True))


def _value_and_gradients(call: Head) -> tuple[Array, list[Array]]:
    """The value and the derivatives by x, W and b, in the way that serves the arrays."""
    if is_torch(call.x):
        from ._torch import linear as torch_linear

        if torch_linear.serves(call):
            return torch_linear.value_and_gradients(call)
    return chunks.value_and_gradients(call) if _by_chunks(call) else _defined(call)


def _defined(call: Head) -> tuple[Array, list[Array]]:
    """The value and the derivatives from all the logits, in the operations of any array library."""
    xp, rows = namespace(call.x), whole(call)
    with _ways.quiet(call.x):
        loss, square, z = _ways.room(rows).cross_entropy_with_gradient(rows, _reduction.scales)
        value = _reduction.reduce_rows(rows, loss, square)
    z = move_axis(z, -1, call.x.ndim - 1)
    z = xp.reshape(z, (-1, math.prod(call.weight.shape[:-1])))
    x, weight = (
        xp.astype(xp.reshape(p, (-1, p.shape[-1])), z.dtype, copy=False) for p in (selected(call), call.weight)
    )
    parts = [xp.matmul(z, weight), xp.matmul(xp.matrix_transpose(z), x)]
    parts.append(None if call.bias is None else xp.sum(z, axis=0))
    return value, chunks.rounded(call, parts)
