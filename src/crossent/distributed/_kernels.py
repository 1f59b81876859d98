"""The best local room for a rank's columns: the C++ kernels, where they can read the logits."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from .._call.canonical import Rows
from .._torch import state
from ..backends import cpu
from ._shard import Shard


def serves(shard: Shard, z: Tensor) -> bool:
    """Whether the kernels take these columns: dense targets and uneven or float64 smoothing need other sums."""
    rows = shard.rows
    if rows.q is not None or not z.numel() or not state.unwatched_host(z) or state.watched():
        return False
    uneven = rows.weight is not None or rows.where is not None or z.dtype == torch.float64
    return not (rows.options.label_smoothing and uneven) and cpu.takes(z)


def _plain(shard: Shard, z: Tensor) -> Rows:
    """The rows of such columns, with the temperature as their only option."""
    options = dataclasses.replace(shard.rows.options, softcap=None, label_smoothing=0.0, z_loss=0.0)
    wide = torch.float64 if z.dtype == torch.float64 else torch.float32
    return shard.rows._replace(
        x=z, y=None, weight=None, sample_weight=None, where=None, options=options, sum_dtype=wide
    )


def statistics(shard: Shard, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(m, r, a) of each row in one read, in float64."""
    r, a = cpu.others(_plain(shard, z))
    m = z.gather(-1, a[..., None])[..., 0].double()
    r = torch.where(m == -math.inf, -1.0, torch.where(m < math.inf, r.double(), math.nan))
    return m, r, a


def probabilities(shard: Shard, z: Tensor, factor: Tensor) -> Tensor:
    """softmax of these columns alone, times a factor of each row: in z's dtype."""
    rows = _plain(shard, z)
    result: Tensor = cpu.softmax(rows, factor=factor.to(rows.sum_dtype))
    return result
