"""What a device has found wrong and could not say at the time."""

from __future__ import annotations

import importlib.util

__all__ = ["synchronize"]


def synchronize() -> None:
    """Wait for the GPUs, then raise what their kernels have found wrong with the targets.

    A loss on a GPU does not wait for the device: the row of a class index outside 0 … C−1 is NaN, its place is noted,
    and the error comes at the next call of a loss, or here.

    Raises
    ------
    ClassIndexError
        For such an index; the message names its value, its position and the likely cause.

    Examples
    --------
    >>> import crossent.checks
    >>> crossent.checks.synchronize()

    References
    ----------
    `torch.cuda.synchronize`, which waits and does not look.
    """
    if importlib.util.find_spec("triton") is None:
        return
    from .._torch import gpu as torch_gpu

    torch_gpu.synchronize()
