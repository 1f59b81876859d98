"""The compiled kernels: whether they are there, for which processor, and with how many threads."""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from ..._call.numbers import whole_number
from ...errors import OptionError

CHOICES = ("v2", "v3", "v4", "agnostic")
_own_threads: int | None = None
_told = 0


@functools.cache
def kernels() -> Any:
    """The extension, or None: not built, or switched off by CROSSENT_CPU=agnostic."""
    wanted = os.environ.get("CROSSENT_CPU") or None
    if wanted is not None and wanted not in CHOICES:
        raise OptionError(f"CROSSENT_CPU={wanted!r}, expected one of {', '.join(CHOICES)}")
    if wanted == "agnostic":
        return None
    try:
        extension = importlib.import_module("crossent.backends.cpu._kernels")
    except ImportError:
        return None
    if extension.choose(wanted) is None:
        raise OptionError(
            f"CROSSENT_CPU={wanted}, but this processor does not run those kernels: leave CROSSENT_CPU unset"
        )
    return extension


def describe() -> str:
    """One line for `crossent info`."""
    if os.environ.get("CROSSENT_CPU") == "agnostic":
        return "switched off by CROSSENT_CPU=agnostic"
    if kernels() is None:
        return "not built (install where a C++ compiler is found, or take a wheel)"
    level = str(kernels().choose(os.environ.get("CROSSENT_CPU") or None)).removeprefix("crossent_")
    return f"live: C++ kernels ({level}, {get_num_threads()} threads)"


def set_num_threads(number: int) -> None:
    """Set how many threads the CPU kernels use, from now on.

    Without this call they use as many as PyTorch (`torch.get_num_threads()`, where it is imported), else
    OMP_NUM_THREADS, else one for each processor of the process. The result has the same bits for any number.

    Parameters
    ----------
    number
        At least 1; the calling thread is one of them.

    Raises
    ------
    OptionError
        For anything else.

    Examples
    --------
    >>> import crossent
    >>> crossent.set_num_threads(2)
    >>> crossent.get_num_threads()
    2

    References
    ----------
    `torch.set_num_threads`, whose number is followed unless this one is given.
    """
    global _own_threads  # noqa: PLW0603  # a setting of the process
    _own_threads = whole_number("set_num_threads: number", number)


def get_num_threads() -> int:
    """Return how many threads the CPU kernels use; see `set_num_threads`.

    Raises
    ------
    Nothing.

    Examples
    --------
    >>> import crossent
    >>> crossent.get_num_threads() >= 1
    True

    References
    ----------
    See `set_num_threads`.
    """
    if _own_threads is not None:
        return _own_threads
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(given) if given.isdigit() and int(given) > 0 else _processors()


@functools.cache
def _processors() -> int:
    """The processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@functools.cache
def _borrow() -> None:
    """Let the kernels work with PyTorch's threads, where its OpenMP is GNU's; see kernels/pool.cpp."""
    torch = sys.modules["torch"]
    for path in (Path(str(torch.__file__)).parent / "lib").glob("libgomp*.so*"):
        try:
            parallel = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD).GOMP_parallel
        except (OSError, AttributeError):
            continue
        kernels().borrow(ctypes.cast(parallel, ctypes.c_void_p).value)


def ready() -> Any:
    """The extension, told how many threads to use and whose."""
    global _told  # noqa: PLW0603  # what the extension knows
    extension, wanted = kernels(), get_num_threads()
    if "torch" in sys.modules:
        _borrow()
    if wanted != _told:
        extension.set_threads(wanted)
        _told = wanted
    return extension


def empty_cache() -> int:
    """Give memory of large results, kept for the next ones of their size, back to the system.

    The memory of a result of a mebibyte or more is kept when nothing refers to it any longer: the last few blocks, at
    most eight and 1 GiB in all, or a single one where that is larger.

    Returns
    -------
    int
        The number of bytes given back.

    Raises
    ------
    Nothing.

    Examples
    --------
    >>> import crossent
    >>> _ = crossent.empty_cache()
    >>> crossent.empty_cache()
    0

    References
    ----------
    `torch.cuda.empty_cache`, for the same purpose on a GPU.
    """
    extension = kernels()
    return 0 if extension is None else int(extension.empty_cache())
