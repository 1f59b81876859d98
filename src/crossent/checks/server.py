"""A language server for editors."""

from __future__ import annotations

__all__ = ["serve"]


def serve() -> None:
    """Speak the Language Server Protocol on standard input and output."""
