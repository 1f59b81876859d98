"""A tour of softmax and cross-entropy: every number is computed while it is shown, in NumPy and in PyTorch."""

from __future__ import annotations

import sys
from typing import TextIO

__all__ = ["run"]


def run(lang: str = "en", chapter: int | None = None, plain: bool = True, file: TextIO | None = None) -> None:
    """Run the tour and print it: code, then what it gives in NumPy and in PyTorch.

    Without PyTorch the NumPy column is computed alone, and one line says what to install.

    Args:
        lang: "en" (English) or "zh" (Simplified Chinese).
        chapter: the number of the only chapter to run; None for all of them.
        plain: neither colour nor box drawing.
        file: where to print; None for standard output.

    Raises:
        OptionError: a language or a chapter that the tour does not have.
        MissingDependencyError: plain=False without click.

    Example:
        >>> from crossent import tour
        >>> tour.run(chapter=1)
        Softmax and cross-entropy, step by step
        ...
        by_crossent | [0.6590 0.2424 0.0986] | ...

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), sections 4.1 and 6.2.2.
    """
    from .render import pages, style_for

    file = sys.stdout if file is None else file
    for line in pages(lang, chapter, style_for(plain=plain)):
        print(line, file=file, flush=True)
