"""Arrays of any library at the door: taking them in, naming them in messages, asking whether values may be read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from .._definition import NAMESPACES, Array, namespace
from ..errors import ArrayTypeError, DtypeError
from . import refused

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def dtype_name(dtype: Any) -> str:
    """The name of a dtype of any library: "float32", "bfloat16", "bool"."""
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    return str(name).rpartition(".")[2]


def is_torch(x: Array) -> bool:
    """Whether x is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_numpy(x: Array) -> bool:
    """Whether x is a NumPy array or scalar."""
    return isinstance(x, (np.ndarray, np.generic))


def is_jax(x: Array) -> bool:
    """Whether x is a JAX array or tracer, without importing JAX."""
    return "jax" in sys.modules and not is_numpy(x) and not is_torch(x) and bool(array_api_compat.is_jax_array(x))


def is_mlx(x: Array) -> bool:
    """Whether x is an MLX array, whose namespace is then completed and known."""
    if type(x).__module__ != "mlx.core":
        return False
    if type(x) not in NAMESPACES:
        from . import mlx

        NAMESPACES[type(x)] = mlx
    return True


def describe(x: Array) -> str:
    """Dtype and shape, as messages show them: "float32 (8, 10)"."""
    if isinstance(x, type) or not (hasattr(x, "dtype") and hasattr(x, "shape")):
        return repr(x)
    return f"{dtype_name(x.dtype)} {tuple(x.shape)}"


def as_array(x: Any, name: str) -> Array:
    """An array as it is; lists, numbers and what NumPy can convert (a DataFrame) as a NumPy array."""
    if is_torch(x):
        if x.layout is not sys.modules["torch"].strided:
            raise ArrayTypeError(f"{name} is a tensor of layout {x.layout}, expected a dense one: use x.to_dense()")
        refused.refuse_distributed(x, name)
        return x
    if is_mlx(x):
        return x
    refused.refuse_proxy(x, name)
    if isinstance(x, np.ma.MaskedArray):
        raise ArrayTypeError(f"{name} is a masked array: give its data, and its mask as where=~x.mask")
    if x is None or isinstance(x, type):
        raise ArrayTypeError(f"{name} is {x!r}, expected an array")
    if array_api_compat.is_array_api_obj(x) and hasattr(x, "shape"):
        return x
    refused.refuse_container(x, name)
    try:
        array = np.asarray(x)
    except (TypeError, ValueError) as error:
        raise ArrayTypeError(f"{name} is a {type(x).__name__} that is no array: {error}") from None
    return _checked(array, x, name)


def _checked(array: Array, x: Any, name: str) -> Array:
    """A NumPy array of numbers; strings, objects and dates are none."""
    if array.dtype.kind in "OUSMmV" and dtype_name(array.dtype) not in FLOATS:
        text = f"{name} is a {type(x).__name__} of dtype {array.dtype}, expected an array of numbers"
        raise ArrayTypeError(text)
    return array


def values(x: Array) -> Array:
    """The numbers of a readable array, to look at: NumPy's view for torch and JAX, without history or staging."""
    if type(x) is np.ndarray:
        return x
    if is_torch(x):
        x = x.detach()
        x = x.float() if dtype_name(x.dtype) == "bfloat16" else x
        return (x.resolve_neg() if x.is_neg() else x).numpy()
    if is_mlx(x):
        return namespace(x).to_numpy(x)
    return np.asarray(x) if is_jax(x) else x


def move_axis(x: Array, source: int, destination: int) -> Array:
    """One axis elsewhere, as a view: moveaxis, which torch's vmap does not know."""
    if source % x.ndim == destination % x.ndim:
        return x
    order = [axis for axis in range(x.ndim) if axis != source % x.ndim]
    order.insert(destination % x.ndim, source % x.ndim)
    return namespace(x).permute_dims(x, tuple(order))


def scalar(x: Array) -> Array:
    """A NumPy scalar for a NumPy array without axes, as NumPy's own reductions give; others as they are."""
    return x[()] if isinstance(x, np.ndarray) and x.ndim == 0 else x


def detached(x: Array) -> Array:
    """The values alone, without autograd's history."""
    return x.detach() if is_torch(x) else x


def as_float_array(x: Any, name: str) -> Array:
    """An array of logits or probabilities; integers of NumPy and its like count as float64, as in SciPy."""
    x = as_array(x, name)
    kind = dtype_name(x.dtype)
    if kind in INTEGERS and not is_torch(x):
        xp = namespace(x)
        return xp.astype(x, xp.asarray(0.0).dtype if is_jax(x) else xp.float64)
    if kind not in FLOATS:
        raise DtypeError(
            f"{name} has dtype {kind}, expected one of {', '.join(FLOATS)}: convert it, as with {_cast(x)}"
        )
    return x


def _cast(x: Array) -> str:
    """How a user of this library converts to floating numbers."""
    return "x.float()" if is_torch(x) else "x.astype('float32')"


def like(x: Array, other: Any, name: str) -> Array:
    """`other` as an array of x's library on x's device: NumPy arrays, lists and numbers are taken over."""
    other = as_array(other, name)
    if type(other) is type(x) is np.ndarray:
        return other
    if type(other) is type(x) or (is_torch(x) and is_torch(other)) or namespace(other) is namespace(x):
        _check_device(x, other, name)
        return other
    if is_numpy(other):
        _checked(other, other, name)
    else:
        text = f"{name} is a {type(other).__module__}.{type(other).__name__}, but input a {type(x).__module__}."
        raise ArrayTypeError(f"{text}{type(x).__name__}: give both in one library")
    return namespace(x).asarray(_plain_numpy(other), device=getattr(x, "device", None))


def _plain_numpy(x: Array) -> Array:
    """A NumPy array as other libraries take it: contiguous, writable, of native bytes, bfloat16 as float32."""
    name = dtype_name(x.dtype)
    dtype = "float32" if name == "bfloat16" else x.dtype.name if name in (*FLOATS, *INTEGERS) else x.dtype
    return np.require(x, dtype, ["C", "W"])


def _check_device(x: Array, other: Array, name: str) -> None:
    """Torch's own message for two devices comes late and from inside; say it at the door."""
    if is_torch(x) and other.device != x.device and other.ndim > 0:
        text = f"{name} is on {other.device}, but input on {x.device}"
        raise ArrayTypeError(f"{text}: move it with {name}.to({str(x.device)!r})")


_watched: Callable[[], bool] | None = None


def _torch_is_watched() -> bool:
    """See _torch.state.watched, which is imported when a tensor is there."""
    global _watched  # noqa: PLW0603
    if _watched is None:
        from .._torch.state import watched

        _watched = watched
    return _watched()


def tracing(x: Array) -> bool:
    """Whether x stands for values that are not there yet: torch.compile, torch.func, jax.jit, meta tensors."""
    if is_torch(x):
        torch = sys.modules["torch"]
        return type(x) not in (torch.Tensor, torch.nn.Parameter) or x.is_meta or _torch_is_watched()
    if is_mlx(x):
        return not namespace(x).has_values(x)
    return is_jax(x) and isinstance(x, sys.modules["jax"].core.Tracer)


def _on_host(x: Array) -> bool:
    """Whether the values lie in the host's memory."""
    if is_torch(x):
        return bool(x.device.type == "cpu")
    if is_jax(x):
        return all(place.platform == "cpu" for place in x.devices())
    return not (array_api_compat.is_cupy_array(x) or array_api_compat.is_dask_array(x))


def readable(*arrays: Array) -> bool:
    """Whether values may be looked at: no tracer, and no device that the host would have to wait for."""
    for x in arrays:  # noqa: SIM110  # all(…) takes a frame an array
        if x is not None and type(x) is not np.ndarray and (tracing(x) or not _on_host(x)):
            return False
    return True
