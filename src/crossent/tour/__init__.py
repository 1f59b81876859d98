"""A tour of softmax and cross-entropy: every number is computed while it is shown, in NumPy and in PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TextIO

__all__ = ["digits", "run"]


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


def digits() -> tuple[Any, Any]:
    """Ninety small pictures of the handwritten digits 0, 1 and 2, thirty of each: what the tour's networks learn.

    Returns:
        NumPy arrays: the images, float32 (90, 8, 8) with values in 0 … 1, and their labels, int64 (90,).

    Example:
        >>> from crossent import tour
        >>> images, labels = tour.digits()
        >>> images.shape, labels[:4]
        ((90, 8, 8), array([0, 1, 2, 0]))

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (1998), UCI repository, CC BY 4.0.
    """
    import numpy as np

    lines = Path(__file__).with_name("digits.txt").read_text(encoding="ascii").splitlines()
    parts = [line.split() for line in lines if not line.startswith("#")]
    points = [[int(point, 17) for point in image] for _, image in parts]
    images = np.array(points, dtype=np.float32).reshape(-1, 8, 8) / 16
    return images, np.array([int(label) for label, _ in parts])
