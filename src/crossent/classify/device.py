"""Where the training runs: the device, and the number of threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from crossent.errors import OptionError

__all__ = ["find_device", "one_thread"]


def find_device(name: str) -> torch.device:
    """Turn a device's name into a device that this machine has; "auto" is an accelerator where there is one."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = f'"cpu" and "{accelerator.type}"' if accelerator else 'only "cpu"'
        raise OptionError(f"device {name!r} is not available; this machine has {here}.") from error
    return device


@contextlib.contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Compute with one thread inside, where wanted: for small batches more threads cost more than they bring."""
    before = torch.get_num_threads()
    if not wanted or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
