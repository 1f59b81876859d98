"""Where the training runs: the device, and the number of threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from crossent.errors import OptionError

__all__ = ["find_device", "one_thread"]


def find_device(name: str) -> torch.device:
    """Turn a device's name into a device that this machine has; "auto" is an accelerator where there is one."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return accelerator or torch.device("cpu")
    here = {"cpu"} | ({accelerator.type} if accelerator else set())
    reason = None
    if name.partition(":")[0] in here:  # "meta" is a device too, but one without numbers
        try:
            device = torch.device(name)
            torch.empty(0, device=device)
            return device
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = error
    have = " and ".join(f'"{kind}"' for kind in sorted(here))
    raise OptionError(
        f"device {name!r} is not available; this machine has {'only ' * (not accelerator)}{have}."
    ) from reason


def require_memory(device: torch.device, numbers: int, itemsize: int, what: str) -> None:
    """Raise an OptionError for what cannot fit into this machine's memory, before the machine is asked for it."""
    there = _memory(device)
    if there is not None and numbers * itemsize > there:
        raise OptionError(
            f"{what} needs {numbers * itemsize / 2**30:,.1f} GiB; this machine has {there / 2**30:,.1f} GiB of memory."
        )


def _memory(device: torch.device) -> int | None:
    """The memory of the machine in bytes, as far as it tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if device.type == "cpu" else None
    except (AttributeError, ValueError, OSError):
        return None


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
