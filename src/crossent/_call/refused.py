"""What is given in the place of an array: a model's whole output, a tuple of tensors, a proxy, a DTensor."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ArrayTypeError, TracingError

LIKELY = ("logits", "out", "prediction_logits", "last_hidden_state", "labels")  # of the parts, which one is meant
OUTPUTS = ("input", "x", "probs", "log_probs")  # arguments that a model's output is given for
WAY = "use torch.export.export, or torch.compile"


def _is_array(x: Any) -> bool:
    """Whether x is an array with dtype and shape; of its own library, unlike a number of NumPy."""
    return hasattr(x, "dtype") and hasattr(x, "shape") and hasattr(x, "ndim")


def _holds_graphs(x: Any) -> bool:
    """Whether x is an array whose history NumPy would cut off: torch's, JAX's, or of any other library but NumPy."""
    return _is_array(x) and type(x).__module__.partition(".")[0] != "numpy" and not hasattr(x, "iloc")


def _parts(x: Any) -> dict[str, Any]:
    """The named parts of a model output: a mapping, a named tuple, or an object with logits."""
    if isinstance(x, Mapping):
        return {f"[{name!r}]" if not hasattr(x, str(name)) else f".{name}": part for name, part in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return {f".{name}": part for name, part in zip(x._fields, x, strict=True)}
    if not isinstance(x, (list, tuple)) and not callable(x) and any(_is_array(getattr(x, n, None)) for n in LIKELY):
        return {f".{name}": getattr(x, name) for name in LIKELY if _is_array(getattr(x, name, None))}
    return {}


def _likeliest(parts: Mapping[str, Any]) -> str:
    """The part that is meant: the one called logits, else the first array."""
    named = [place for name in LIKELY for place in (f".{name}", f"[{name!r}]") if place in parts]
    return next(iter([*named, *(place for place, part in parts.items() if _is_array(part)), *parts]), "")


def _deep(x: Any) -> Iterable[Any]:
    """The elements of nested lists and tuples."""
    for part in x:
        if isinstance(part, (list, tuple)):
            yield from _deep(part)
        else:
            yield part


def refuse_container(x: Any, name: str) -> None:
    """Raise ArrayTypeError where x holds arrays and is none: NumPy would stack them, and cut their graph."""
    whole = "output" if name in OUTPUTS else name
    parts = _parts(x)
    if parts or isinstance(x, Mapping):
        text = f"{name} is a {type(x).__name__} with the parts {', '.join(p.strip('.') for p in parts) or 'none'}"
        raise ArrayTypeError(f"{text}, expected one array: give the part that is meant, as {whole}{_likeliest(parts)}")
    if isinstance(x, (list, tuple)) and any(_holds_graphs(part) for part in _deep(x)):
        text = f"{name} is a {type(x).__name__} of {len(x)} that holds tensors, expected one tensor"
        stack = "torch.stack" if any("torch" in type(part).__module__ for part in _deep(x)) else "stack"
        raise ArrayTypeError(f"{text}: give the part that is meant, as {whole}[0], or make one of them by {stack}")


def refuse_proxy(x: Any, name: str) -> None:
    """Raise TracingError for the proxies of torch.fx, which have neither a dtype nor a shape."""
    fx = sys.modules.get("torch.fx")
    if fx is not None and isinstance(x, fx.Proxy):
        text = f"{name} is a proxy of torch.fx.symbolic_trace, which has no shape and no dtype to check"
        raise TracingError(f"{text}: {WAY}; or make the loss a leaf of the tracer (Tracer.is_leaf_module)")


def refuse_distributed(x: Any, name: str) -> None:
    """Raise ArrayTypeError for a DTensor: its loss would be that of one rank's part, or an error from inside torch."""
    if type(x).__name__ == "DTensor" and type(x).__module__.startswith("torch.distributed"):
        text = f"{name} is a DTensor ({', '.join(map(str, x.placements))}), expected a plain tensor"
        local = f"{name}.to_local() for the rows of this rank (with denominator= for a mean over all ranks)"
        raise ArrayTypeError(f"{text}: give {local}, or {name}.full_tensor() for all of them")
