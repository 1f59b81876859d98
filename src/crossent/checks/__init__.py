"""Mistakes with softmax and cross-entropy, found in a source (`lint`) and in a run (`inspect`, `watch`, `strict`)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependencyError
from .finding import Finding as Finding
from .rules import RULES as RULES
from .rules import Rule as Rule
from .source import lint as lint

if TYPE_CHECKING:
    from .devices import synchronize as synchronize
    from .runtime import inspect as inspect
    from .strictness import strict as strict
    from .watching import watch as watch

_LAZY = {"inspect": "runtime", "strict": "strictness", "synchronize": "devices", "watch": "watching"}


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch when it is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module 'crossent.checks' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"crossent.checks.{_LAZY[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError(
            f"crossent.checks.{name} needs PyTorch: install the extra crossent[torch]"
        ) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the lazy names too."""
    return sorted({*globals(), *_LAZY})
