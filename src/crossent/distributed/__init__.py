"""The cross-entropy of a vocabulary that is sharded over ranks: one exchange a call, the same number on each rank."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._call.arrays import like
from .._call.canonical import RowStats
from .._call.options import LinearLossOptions, LossOptions, StatsOptions, signature_of, validated
from ..errors import OptionError
from . import _agreement, _chunks, _linear, _loss, _rows
from ._shard import Place, shard

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["vocab_parallel_cross_entropy", "vocab_parallel_linear_cross_entropy", "vocab_parallel_row_stats"]


def _place(function: str, group: Any, start: Any, valid: Any) -> Place:
    """The group, and what the call says of the shard, as whole numbers."""
    for name, value, least in (("vocab_start", start, 0), ("valid_classes", valid, 1)):
        if value is not None and (type(value) is not int or value < least):
            raise OptionError(f"{function}: {name}={value!r}, expected None or a whole number of at least {least}")
    return Place(group, start, valid)


@signature_of(LossOptions)
def vocab_parallel_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    *,
    group: Any = None,
    vocab_start: int | None = None,
    valid_classes: int | None = None,
    denominator_group: Any = None,
    **options: Unpack[LossOptions],
) -> Tensor:
    """The cross-entropy of logits whose classes are sharded over the ranks of a process group.

    loss = w·log1p(r) − t  of the merged (m, r, t, w) of all ranks:  m = max z,  r = Σ exp(z − m) − 1,  t = Σ q·(z − m)

    Every rank gets the same number, bit for bit, and the gradient of its own columns. Forward there is one all-gather
    (16 bytes a row and rank in float32 for class indices without smoothing and temperature), backward none.

    Parameters
    ----------
    input
        This rank's columns of the logits, (N, C_local) or (N, C_local, d₁, …), or class-last with axis=-1; the ranks
        may have different numbers of them.
    target
        Class indices among all classes, the same on every rank; or this rank's columns of probabilities.
    weight
        One factor for each class of this rank, (C_local,).
    group
        The process group over whose ranks the classes are sharded; the default group if None.
    vocab_start
        The first class of this rank. None: the ranks' columns follow one another in the order of the ranks.
    valid_classes
        The number of classes in all; columns from there on are padding.
    denominator_group
        A group of ranks with other rows (data parallel), over which the divisor of the mean is summed. The sum of these
        ranks' losses is then the mean over all rows; DistributedDataParallel averages: multiply by its number of ranks.
    ignore_index, reduction, label_smoothing, axis, sample_weight, z_loss, logit_scale, softcap, temperature
        As in `cross_entropy`; smoothing spreads over the classes of all ranks.
    where
        This rank's columns of the mask.
    denominator, on_empty, dtype, check
        As in `cross_entropy`.

    Returns
    -------
    Tensor
        As `cross_entropy`. It can be differentiated once.

    Raises
    ------
    ClassIndexError
        On every rank, for a class index that no rank has (an IndexError); on a GPU the row is NaN.
    RankError
        For ranks that disagree on the rows, the targets or the options, and where a rank has left.
    OptionError
        Without a process group, for shards that leave a gap or overlap, and for poly1_epsilon and inplace.
    ShapeError, AxisError, DtypeError, ArrayTypeError, ProbabilityError, EmptyReductionError
        As `cross_entropy`.

    Examples
    --------
    >>> import torch, tempfile, crossent
    >>> store = f"file://{tempfile.mkdtemp()}/store"
    >>> torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    >>> logits = torch.tensor([[2.0, 1.0, 0.1], [0.1, 3.0, 0.1]])
    >>> loss = crossent.distributed.vocab_parallel_cross_entropy(logits, torch.tensor([0, 1]))
    >>> round(float(loss), 4)
    0.2607
    >>> torch.distributed.destroy_process_group()

    References
    ----------
    M. Shoeybi et al., "Megatron-LM: training multi-billion parameter language models using model parallelism", 2019.
    """
    function = "vocab_parallel_cross_entropy"
    group = _agreement.process_group(function, group)
    with _agreement.told(group):
        chosen = validated(function, weight, options, LossOptions)
        _loss.check_denominator_group(function, chosen, denominator_group)
        place = _place(function, group, vocab_start, valid_classes)
    return _loss.cross_entropy(shard(function, input, target, chosen, place), group, denominator_group)


@signature_of(LinearLossOptions)
def vocab_parallel_linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    group: Any = None,
    vocab_start: int | None = None,
    valid_classes: int | None = None,
    denominator_group: Any = None,
    input_grad: str = "all_reduce",
    **options: Unpack[LinearLossOptions],
) -> Tensor:
    """The cross-entropy of a linear layer whose weight is sharded by classes over the ranks of a process group.

    loss = w·log1p(r) − t  of the rows z = x·Wᵀ + b, of which each rank forms its own columns

    One exchange forward, as in `vocab_parallel_cross_entropy`, and one backward, of d loss/dx; the derivatives by the
    weight and the bias are each rank's own.

    Parameters
    ----------
    input
        Features (…, D), the same on every rank.
    linear_weight, linear_bias, weight, where
        This rank's rows: (C_local, D), (C_local,), (C_local,), and columns of the mask.
    target, group, vocab_start, valid_classes, denominator_group
        As in `vocab_parallel_cross_entropy`.
    input_grad
        "all_reduce": the derivative by input is summed over the ranks. "reduce_scatter", for sequence parallel: input
        is this rank's equal share of the rows (along the first axis), all of which are gathered forward (one exchange
        more), and its derivative is the sum for this share. "local": this rank's part of the sum.
    ignore_index, reduction, label_smoothing, sample_weight, z_loss, logit_scale, softcap, temperature, shift
        As in `linear_cross_entropy`.
    denominator, on_empty, dtype, check
        As in `cross_entropy`.

    Returns
    -------
    Tensor
        As `vocab_parallel_cross_entropy`.

    Raises
    ------
    See `vocab_parallel_cross_entropy`; OptionError also for chunk_size, recompute and return_stats.

    Examples
    --------
    >>> import torch, tempfile, crossent
    >>> store = f"file://{tempfile.mkdtemp()}/store"
    >>> torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    >>> x, W = torch.tensor([[1.0, 2.0], [0.5, -1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]])
    >>> loss = crossent.distributed.vocab_parallel_linear_cross_entropy(x, W, torch.tensor([1, 0]))
    >>> round(float(loss), 4)
    0.3883
    >>> torch.distributed.destroy_process_group()

    References
    ----------
    See `vocab_parallel_cross_entropy`, and V. Korthikanti et al., "Reducing activation recomputation in large
    transformer models", 2022.
    """
    function = "vocab_parallel_linear_cross_entropy"
    group = _agreement.process_group(function, group)
    with _agreement.told(group):
        own = {name: value for name, value in options.items() if not (name == "ignore_index" and value is None)}
        chosen = validated(function, own.pop("weight", None), own, LinearLossOptions)
        _loss.check_denominator_group(function, chosen, denominator_group)
        _linear.learnt(function, chosen, input_grad)
        place = _place(function, group, vocab_start, valid_classes)
        layer = _linear.checked(function, input, linear_weight, chosen)
        whole = _linear.WAYS[input_grad](layer.x, group)
        whole, labels, chosen = _linear.shifted(function, whole, like(layer.x, target, "target"), chosen)
        chosen = dataclasses.replace(chosen, axis=-1, linear_bias=None)
    if not chosen.recompute:
        logits = torch.nn.functional.linear(whole, layer.weight, layer.bias)
        return _loss.cross_entropy(shard(function, logits, labels, chosen, place), group, denominator_group)
    stand_in = _linear.stand_in(layer, whole)
    call = shard(function, stand_in, labels, chosen, place)
    return _chunks.cross_entropy(layer._replace(x=whole), call, group, denominator_group)


@signature_of(StatsOptions)
def vocab_parallel_row_stats(
    input: Tensor,
    target: Tensor | None = None,
    weight: Any = None,
    *,
    group: Any = None,
    vocab_start: int | None = None,
    valid_classes: int | None = None,
    **options: Unpack[StatsOptions],
) -> RowStats:
    """What each row of logits tells whose classes are sharded over the ranks of a process group.

    lse = m + log1p(r),  entropy = log1p(r) − u/(1 + r),  confidence = 1/(1 + r),  over the classes of all ranks

    One exchange forward (32 bytes a row and rank, 48 with a target), none backward; the same numbers on every rank.

    Parameters
    ----------
    input, target, weight, group, vocab_start, valid_classes, where
        As in `vocab_parallel_cross_entropy`; without a target, `loss` and `target_log_prob` are None.
    ignore_index, label_smoothing, axis, sample_weight, z_loss, logit_scale, softcap, temperature, dtype, check
        As in `row_stats`.

    Returns
    -------
    RowStats
        As `row_stats`; `prediction` is the class among all. It can be differentiated once.

    Raises
    ------
    See `vocab_parallel_cross_entropy`; OptionError also for extra and top_k.

    Examples
    --------
    >>> import torch, tempfile, crossent
    >>> store = f"file://{tempfile.mkdtemp()}/store"
    >>> torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    >>> stats = crossent.distributed.vocab_parallel_row_stats(torch.tensor([[2.0, 1.0, 0.1]]))
    >>> stats.prediction.tolist(), round(float(stats.confidence), 4), round(float(stats.entropy), 4)
    ([0], 0.659, 0.8467)
    >>> torch.distributed.destroy_process_group()

    References
    ----------
    See `row_stats` and `vocab_parallel_cross_entropy`.
    """
    function = "vocab_parallel_row_stats"
    group = _agreement.process_group(function, group)
    with _agreement.told(group):
        chosen = validated(function, weight, options, StatsOptions)
        place = _place(function, group, vocab_start, valid_classes)
    return _rows.row_stats(shard(function, input, target, chosen, place), group)
