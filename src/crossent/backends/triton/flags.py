"""Class indices out of range, noted by the kernels without making the host wait, and raised when the host looks.

A device has a word for each number of classes, in memory that both sides see (pinned: the device writes to it only on
an error, the host reads it for nothing): class and position of a row, never 0. One word is written at once: two kernels
that note something at the same time, in two streams, leave one of the two notes whole.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch

from ..._definition import Array

WORDS = 512  # of a block of memory: one takes as much as a page
STEP = 2  # words from one to the next: each is where a vector of 128 bits may be


class Found(NamedTuple):
    """A row whose target is no class."""

    value: int
    position: int
    classes: int


class Flag(NamedTuple):
    """A word as the kernels take it and as the host reads it."""

    word: Array
    seen: ctypes.c_int64


_flags: dict[tuple[torch.device, int], Flag] = {}
_blocks: dict[torch.device, list[Array]] = {}


def of(device: torch.device, classes: int) -> Array:
    """The word of a device for targets of so many classes."""
    found = _flags.get((device, classes))
    return _new(device, classes) if found is None else found.word


def _new(device: torch.device, classes: int) -> Array:
    """A word that is not in use yet."""
    blocks = _blocks.setdefault(device, [])
    place = sum(own == device for own, _ in _flags) % WORDS
    if place == 0:
        blocks.append(torch.zeros(WORDS * STEP, dtype=torch.int64, pin_memory=device.type == "cuda"))
    word = blocks[-1][place * STEP :]
    _flags[device, classes] = Flag(word, ctypes.c_int64.from_address(word.data_ptr()))
    return word


def devices() -> tuple[torch.device, ...]:
    """The devices whose kernels may have noted something."""
    return tuple(_blocks)


def take() -> tuple[torch.device, Found] | None:
    """What a kernel that has run by now has found, once; it does not wait for those that have not."""
    for (device, classes), flag in _flags.items():
        noted = flag.seen.value
        if noted:
            flag.seen.value = 0
            return device, Found(noted >> 32, noted & 0xFFFFFFFF, classes)
    return None
