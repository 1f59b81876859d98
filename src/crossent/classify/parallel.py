"""Training by several processes under torchrun: each has its share of every batch, and the gradients are summed.

A batch is the same rows as with one process, so the result is the same but for the rounding of the sums, whatever the
number of processes; a state that one number of them has saved goes on with another.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, distributed

from crossent.errors import OptionError, RankError

from .rows import Rows

__all__ = ["Ranks", "WorkerLeftError", "ranks"]

Batch: TypeAlias = tuple[Tensor, Tensor, Tensor | None]
WAY = "torchrun --nproc-per-node=N -m crossent train … --data-parallel"


class WorkerLeftError(RankError):
    """Another process of the training has ended, so that the sum of the gradients cannot be formed."""


@dataclass(frozen=True)
class Ranks:
    """A process among those that train together."""

    rank: int
    size: int

    @property
    def first(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0

    @contextlib.contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """A process group of all of them inside, at the address that torchrun has told."""
        distributed.init_process_group("gloo" if device.type == "cpu" else None)
        try:
            yield
        finally:
            distributed.destroy_process_group()

    def batches(self, rows: Rows, order: Tensor, batch_size: int) -> Iterator[tuple[Batch | None, float]]:
        """(the process's rows of each batch, or None; their share of the batch)."""
        parts = [batch[self.rank :: self.size] for batch in torch.split(order, batch_size)]
        sizes = [len(batch) for batch in torch.split(order, batch_size)]
        most = len(range(self.rank, batch_size, self.size))
        own = rows.batches(torch.cat(parts), most) if most else iter(())
        for part, size in zip(parts, sizes, strict=True):
            yield next(own) if len(part) else None, len(part) / size

    def summed(
        self, parameters: Sequence[Tensor], made: tuple[Tensor, list[Tensor]] | None, share: float
    ) -> tuple[Tensor, list[Tensor]]:
        """The loss of the whole batch and its gradients, from each process's own and its share."""
        loss, gradients = made or (parameters[0].new_zeros(()), [torch.zeros_like(part) for part in parameters])
        flat = torch.cat([loss.reshape(1).to(gradients[0].dtype), *(part.reshape(-1) for part in gradients)]) * share
        try:
            distributed.all_reduce(flat)
        except RuntimeError as error:
            raise WorkerLeftError(f"another process of the training has ended ({str(error).splitlines()[0]})") from None
        total, *parts = torch.split(flat, [1, *(part.numel() for part in parameters)])
        return total[0], [part.view_as(like) for part, like in zip(parts, parameters, strict=True)]


def ranks(wanted: bool) -> Ranks | None:
    """The process among those that torchrun has started; None for one that trains alone."""
    size = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else None
    if not wanted:
        if size is not None and size > 1:
            raise OptionError(f"{size} processes would each train alone: add --data-parallel, or leave out torchrun")
        return None
    if size is None:
        raise OptionError(f"--data-parallel needs the processes that torchrun starts: {WAY}")
    return Ranks(int(os.environ["RANK"]), size)
