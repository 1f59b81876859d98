"""Ctrl-C, SIGTERM and SIGHUP, while something must not be lost: each becomes a KeyboardInterrupt, once, when it may."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["Interrupts"]

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
USUAL = (signal.SIG_DFL, signal.default_int_handler)


class Interrupts:
    """Turn the first signal that asks to stop into a KeyboardInterrupt; those that come later are noted only.

    A signal that is ignored, as under nohup, stays so, and one that the program handles in its own way stays the
    program's. Outside the main thread nothing is changed, since Python handles signals there alone.

    Attributes:
        number: of the first signal, None before one came.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._deferred = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
                if signal.getsignal(number) in USUAL:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """Note the signal; interrupt at the first, unless it has to wait."""
        first, self.number = self.number is None, self.number or number
        if first and not self._deferred:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise the KeyboardInterrupt that had to wait, or that a library has swallowed."""
        if self.number is not None:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Let signals wait inside; `check` raises them."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
