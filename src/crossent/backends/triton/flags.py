"""Class indices out of range, noted by the kernels without making the host wait, and raised when the host looks.

Each device has two words in memory that both sides see (pinned: the device writes to it only on an error, the host
reads it for nothing): the number of classes, and the class and position of a row in one word, never 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..._definition import Array


class Found(NamedTuple):
    """A row whose target is no class."""

    value: int
    position: int
    classes: int


_flags: dict[torch.device, Array] = {}


def of(device: torch.device) -> Array:
    """The words of a device."""
    if device not in _flags:
        _flags[device] = torch.zeros(2, dtype=torch.int64, pin_memory=device.type == "cuda")
    return _flags[device]


def devices() -> tuple[torch.device, ...]:
    """The devices whose kernels may have noted something."""
    return tuple(_flags)


def take() -> tuple[torch.device, Found] | None:
    """What a kernel that has run by now has found, once; it does not wait for those that have not."""
    for device, words in _flags.items():
        noted = int(words[0])
        if noted:
            words[0] = 0
            return device, Found(noted >> 32, noted & 0xFFFFFFFF, int(words[1]))
    return None
