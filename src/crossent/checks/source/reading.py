"""Files as the linter reads them: any encoding, Python 2, notebooks; what is too large is left to its reader."""

from __future__ import annotations

from pathlib import Path

from .notebooks import notebook
from .sources import Source, Trouble, decoded, may_mention

__all__ = ["LARGEST", "read"]

LARGEST = 2_000_000  # bytes; larger files are data
LARGEST_NOTEBOOK = 50_000_000  # notebooks hold pictures


def read(path: str, data: bytes | None = None) -> Source:
    """Read a file, or take `data` for what is in it; never raises for what that is."""
    try:
        data = Path(path).read_bytes() if data is None else data
    except OSError as error:
        return Source(path, troubles=[Trouble("not-analysed", f"cannot be read: {error.strerror or error}")])
    if len(data) > (LARGEST_NOTEBOOK if path.endswith(".ipynb") else LARGEST):
        if not may_mention(data):
            return Source(path)
        return Source(path, troubles=[Trouble("not-analysed", f"too large to be a source ({len(data):,} bytes)")])
    if path.endswith(".ipynb"):
        return notebook(path, data)
    return Source(path, decoded(data), data=data)
