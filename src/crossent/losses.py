"""The losses, and what a row of logits tells besides: one call, one answer, for arrays of every library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _ways
from ._call.arrays import detached, readable
from ._call.canonical import ExtraRowStats, Rows, RowStats
from ._call.options import LossOptions, NLLOptions, StatsOptions, signature_of, validated
from ._definition import Array, namespace
from ._door import rows as door
from ._door.targets import warn

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "ExtraRowStats",
    "RowStats",
    "cross_entropy",
    "cross_entropy_with_grad",
    "nll_loss",
    "row_stats",
]


@signature_of(LossOptions)
def cross_entropy(input: Array, target: Array, weight: Array = None, **options: Unpack[LossOptions]) -> Array:
    """The cross-entropy between logits and targets: softmax and negative log-likelihood in one.

    loss = w·log1p(r) − t,  m = max z,  r = Σ exp(z − m) − 1,  t = Σ q·(z − m),  w = Σ q

    where z is the row of logits and q its target distribution. Give raw scores: no softmax before this loss.

    Parameters
    ----------
    input
        Logits (N, C), (N, C, d₁, …) or one row (C,), classes on axis 1 (0 for one row) unless `axis` says otherwise:
        float16, bfloat16, float32 or float64, from NumPy, PyTorch, JAX or any array-API library.
    target
        Class indices of any integer dtype, shaped like input without the class axis; or probabilities (one-hot, soft
        labels) shaped like input.
    weight
        One factor for each class, (C,).
    ignore_index
        Rows with this class index count for nothing, whatever their logits hold.
    reduction
        "mean" divides by Σ weight[y]·sample_weight over the rows that count, for probability targets by Σ sample_weight
        (the number of rows); "sum"; or "none" for the loss of each row.
    label_smoothing
        ε in 0 … 1: q becomes (1 − ε)·q + ε/C, before the class weights.
    axis
        The class axis; -1 for class-last data.
    where
        The classes that exist, as booleans: (C,) or a shape that broadcasts to input. Smoothing spreads over these.
    sample_weight
        One factor for each row, shaped like the rows, or (N,).
    z_loss
        Adds z_loss·lse² to each row that counts: not scaled by class weights, averaged over the rows.
    logit_scale
        Multiplies the logits, before the soft-cap: 0.0625 for Cohere, 1/logits_scaling for Granite.
    softcap
        Replaces x by softcap·tanh(x/softcap), before the mask.
    temperature
        Divides the logits, after the soft-cap.
    poly1_epsilon
        ε₁ of PolyLoss: adds ε₁·Σ q·(1 − p) to each row, q with smoothing and class weights. Above 0 it weighs the
        classes that are still uncertain more, below 0 less.
    denominator
        Replaces the divisor of the mean: a number, or an array of one element (gradient accumulation, data parallel).
    on_empty
        The mean over nothing: "nan" (torch's answer), "zero" or "raise". Its gradient is zero either way.
    dtype
        The result's dtype; input's own by default (float32 under torch's autocast): a bfloat16 loss is rounded to eight
        bits. Sums are float32 or wider; "wide" gives their own dtype, "float32" the same for sixteen bits.
    inplace
        Lets the gradient overwrite input, whose version counter is bumped; one backward pass, of input alone. A
        cotangent other than 1 multiplies what is stored there, in sixteen bits too: no place for a float16 loss scale.
    check
        "auto" looks for mistakes whose values can be read without waiting, at the logits themselves in the first calls
        from each place alone; True looks at every row of every call; False leaves out all but the class indices, which
        are always checked: where they cannot be read (on a GPU, in a trace) the row is NaN.

    Returns
    -------
    Array
        A zero-dimensional loss in nats, or the rows' losses with reduction="none".

    Raises
    ------
    ShapeError, AxisError, DtypeError, ArrayTypeError, OptionError
        For what does not fit together. Each is also of the built-in type that torch raises.
    ClassIndexError
        For a class index outside 0 … C−1 (an IndexError).
    ProbabilityError
        For a negative probability among the targets.
    EmptyReductionError
        For a mean over nothing with on_empty="raise".

    Warns
    -----
    MisuseWarning
        For one output unit, probabilities that do not sum to 1, a class axis that can be read two ways, a softmax or
        sigmoid before the loss, and NaN.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> logits = np.array([[0.1, 1.0, 2.1], [2.0, 1.0, 0.1], [0.1, 3.0, 0.1]])
    >>> float(crossent.cross_entropy(logits, np.array([2, 0, 1])).round(4))
    0.3018
    >>> crossent.cross_entropy(logits, np.eye(3)[[2, 0, 1]], reduction="none").round(4)
    array([0.384 , 0.417 , 0.1044])

    References
    ----------
    I. J. Good, "Rational decisions", Journal of the Royal Statistical Society B, 1952; smoothing: C. Szegedy et al.,
    "Rethinking the Inception architecture", 2016; z-loss: B. Zoph et al., "ST-MoE", 2022; poly1_epsilon: Z. Leng et
    al., "PolyLoss", 2022.
    """
    return _ways.cross_entropy(input, target, weight, options)


@signature_of(LossOptions)
def cross_entropy_with_grad(
    input: Array, target: Array, weight: Array = None, **options: Unpack[LossOptions]
) -> tuple[Array, Array]:
    """The cross-entropy and its derivative by input, for arrays without autograd.

    d loss/dz = w·softmax(z) − q

    Parameters are those of `cross_entropy`. With reduction="none" the derivative of each row's own loss is given;
    `inplace=True` writes the derivative over input and gives input back.

    Returns
    -------
    (loss, gradient)
        The gradient has input's shape and dtype; it is accurate also where the true class's probability rounds to 1.

    Raises
    ------
    See `cross_entropy`.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> loss, gradient = crossent.cross_entropy_with_grad(np.array([[2.0, 1.0, 0.1]]), np.array([0]))
    >>> gradient.round(4)
    array([[-0.341 ,  0.2424,  0.0986]])

    References
    ----------
    See `cross_entropy`.
    """
    return _ways.cross_entropy_with_grad(input, target, weight, options)


@signature_of(NLLOptions)
def nll_loss(log_probs: Array, target: Array, weight: Array = None, **options: Unpack[NLLOptions]) -> Array:
    """The negative log-likelihood of targets under given log-probabilities.

    loss = −⟨q, log p⟩

    Parameters
    ----------
    log_probs
        Log-probabilities, as `log_softmax` gives them; shapes and dtypes as in `cross_entropy`.
    target, weight, ignore_index, reduction, axis, sample_weight, denominator, on_empty, dtype, check
        As in `cross_entropy`.

    Raises
    ------
    See `cross_entropy`.

    Warns
    -----
    MisuseWarning
        For positive numbers among the log-probabilities: probabilities or logits were given.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> float(crossent.nll_loss(np.log([[0.7, 0.2, 0.1]]), np.array([0])).round(4))
    0.3567

    References
    ----------
    See `cross_entropy`.
    """
    if (way := _ways.sharded(log_probs)) is not None:
        return way.nll_loss(nll_loss, log_probs, target, weight, options)
    with _ways.alone(log_probs):
        rows = door.rows("nll_loss", log_probs, target, validated("nll_loss", weight, options, NLLOptions))
        with _ways.quiet(rows.x):
            _warn_of_positive(rows)
        return _ways.nll(rows)


def _warn_of_positive(rows: Rows) -> None:
    """A log-probability cannot be positive."""
    if rows.options.check is False or not readable(rows.x) or 0 in rows.x.shape:
        return
    xp, values = namespace(rows.x), detached(rows.x)
    counted = values if rows.live is None else xp.where(rows.live[..., None], values, -1.0)
    highest = float(xp.max(counted))
    if highest > 1e-3:
        what = "these look like probabilities: use nll_loss(log(p))" if highest <= 1 else "these look like logits"
        warn(f"nll_loss: log_probs holds {highest:g}, but log-probabilities are not positive; {what}, or cross_entropy")


@signature_of(StatsOptions)
def row_stats(
    input: Array, target: Array = None, weight: Array = None, **options: Unpack[StatsOptions]
) -> RowStats | ExtraRowStats:
    """What each row of logits tells: loss, log-normaliser, entropy, prediction, confidence, target log-probability.

    lse = m + log1p(r),  entropy = log1p(r) − u/(1 + r),  confidence = 1/(1 + r),
    m = max z,  r = Σ exp(z − m) − 1,  u = Σ exp(z − m)·(z − m)

    Parameters
    ----------
    input, target, weight
        As in `cross_entropy`, and its options too; without a target, `loss` and `target_log_prob` are None.
    extra
        True tells more: `log_sum_sq_probs` = log Σ p², `mean_logits`, the mean of z over the classes that exist, and
        `is_top1`, whether the target is the prediction (of probabilities the most probable class; false if ignored).
    top_k
        k tells `top_k_log_probs` and `top_k_indices` (…, k) of the k most probable classes in falling order; of equal
        logits any.

    Returns
    -------
    RowStats
        With `extra` or `top_k` an ExtraRowStats. Arrays shaped like the rows, differentiable where input is
        (`prediction`, the argmax, is not): `loss` is `cross_entropy(…, reduction="none")`; `target_log_prob` is
        ⟨q, log p⟩ for the target as given, without weights and smoothing, 0 where the row is ignored. Entropy in
        nats.

    Raises
    ------
    See `cross_entropy`.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> stats = crossent.row_stats(np.array([[2.0, 1.0, 0.1]]), np.array([0]))
    >>> stats.prediction, stats.confidence.round(4), stats.entropy.round(4), stats.target_log_prob.round(4)
    (array([0]), array([0.659]), array([0.8467]), array([-0.417]))
    >>> stats = crossent.row_stats(np.array([[2.0, 1.0, 0.1]]), np.array([0]), extra=True, top_k=2)
    >>> stats.log_sum_sq_probs.round(4), stats.mean_logits.round(4), stats.is_top1, stats.top_k_log_probs.round(4)
    (array([-0.6876]), array([1.0333]), array([ True]), array([[-0.417, -1.417]]))

    References
    ----------
    C. E. Shannon, "A mathematical theory of communication", 1948 (entropy).
    """
    if (way := _ways.sharded(input)) is not None:
        return way.row_stats(row_stats, input, target, weight, options, StatsOptions)  # type: ignore[no-any-return]
    given = validated("row_stats", weight, options, StatsOptions)
    own = _ways.unformed("row_stats", input, target, weight, options)
    if own is not None:
        return own  # type: ignore[no-any-return]  # a RowStats
    with _ways.alone(input):
        return _ways.statistics(door.rows("row_stats", input, target, given, needs_target=False))
