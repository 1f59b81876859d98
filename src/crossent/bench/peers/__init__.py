"""The libraries that crossent is compared with; each module imports its library itself, when it is asked for."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import NamedTuple

from ..cases import CHUNKED, COMPILED, COPY, CROSSENT, EAGER, JAX, OPTAX, PRODUCTS, READ, SCIPY, SKLEARN, Case
from ..inputs import Inputs
from ..measure import Step

__all__ = ["FLOORS", "PEERS", "Peer", "asked", "is_installed", "missing"]


class Peer(NamedTuple):
    """One way to compute a case: the function `build` of a module gives its step, or None for what it cannot do."""

    name: str
    module: str
    build: str
    package: str
    install: str

    def step(self, case: Case, inputs: Inputs) -> Step | None:
        """The step of a case, if the library is installed and computes it."""
        if not is_installed(self.package):
            return None
        module = importlib.import_module(f".{self.module}", __name__)
        step: Step | None = getattr(module, self.build)(case, inputs)
        return step


PEERS = [
    Peer(CROSSENT, "of_crossent", "step", "numpy", ""),
    Peer(EAGER, "of_torch", "eager", "torch", "install the extra crossent[torch]"),
    Peer(COMPILED, "of_torch", "compiled", "torch", "install the extra crossent[torch]"),
    Peer(CHUNKED, "of_torch", "chunked", "torch", "install the extra crossent[torch]"),
    Peer(SCIPY, "of_scipy", "step", "scipy", "pip install scipy"),
    Peer(SKLEARN, "of_sklearn", "step", "scikit-learn", "pip install scikit-learn"),
    Peer("NumPy by hand", "of_numpy", "step", "numpy", ""),
    Peer(OPTAX, "of_jax", "optax_step", "optax", "pip install optax"),
    Peer(JAX, "of_jax", "step", "jax", "install the extra crossent[jax]"),
    Peer(COPY, "floors", "copy", "numpy", ""),
    Peer(READ, "floors", "read", "numpy", ""),
    Peer(PRODUCTS, "floors", "products", "torch", "install the extra crossent[torch]"),
]
FLOORS = (COPY, READ, PRODUCTS)


def asked(case: Case) -> list[Peer]:
    """The peers of a case: of one under JAX's jit those under it, and the copy."""
    return [peer for peer in PEERS if case.arrays != "jax" or peer.name in (CROSSENT, OPTAX, JAX, COPY)]


def is_installed(package: str) -> bool:
    """Whether a distribution is there."""
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def missing() -> dict[str, str]:
    """The libraries that are not installed, and the command that installs each."""
    return {peer.package: peer.install for peer in PEERS if not is_installed(peer.package)}
