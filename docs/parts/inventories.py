"""Where the names of other libraries are documented: readable lists, packed into the form that intersphinx reads."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

LISTS = Path(__file__).parents[1] / "inventories"
SITES = {
    "torch": "https://docs.pytorch.org/docs/stable/",
    "numpy": "https://numpy.org/doc/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "sklearn": "https://scikit-learn.org/stable/",
    "python": "https://docs.python.org/3/",
}


def packed() -> dict[str, tuple[str, str]]:
    """Pack every list; what intersphinx_mapping wants."""
    folder = Path(tempfile.mkdtemp(prefix="inventories-"))
    return {name: (site, str(pack(name, folder))) for name, site in SITES.items()}


def pack(name: str, folder: Path) -> Path:
    """Write one inventory: a head of four lines, then the compressed entries."""
    head = f"# Sphinx inventory version 2\n# Project: {name}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    packed = folder / f"{name}.inv"
    packed.write_bytes(head.encode() + zlib.compress("".join(entries(name)).encode()))
    return packed


def entries(name: str) -> list[str]:
    """Read the lines "kind name page"; $ in the page stands for the name."""
    lines = (LISTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    parts = [line.split() for line in lines if line and not line.startswith("#")]
    return [f"{what} py:{kind} 1 {page.replace('$', what)} -\n" for kind, what, page in parts]
