"""An array in a file, whatever the format: what the readers give and the passes take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]
ROWS_OF_VECTORS = 1 << 16
BLOCK_BYTES = 1 << 22  # a block stays in the processor's cache between the passes over it


@dataclass(frozen=True)
class Stored:
    """An array in a file: `rows` of `columns` values (0 for one value a row), None rows where only reading tells.

    `blocks(n)` hands out arrays of n rows, the last one shorter. `names` are the columns', where they have some.
    """

    path: Path
    rows: int | None
    columns: int
    dtype: str
    blocks: Callable[[int], Iterator[Array]]
    names: list[str] = field(default_factory=list)
    shape: tuple[int, ...] = ()

    def block_rows(self) -> int:
        """How many rows fit a block."""
        if not self.columns:
            return ROWS_OF_VECTORS
        return max(1, min(ROWS_OF_VECTORS, BLOCK_BYTES // (self.columns * 4)))
