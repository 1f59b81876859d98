"""One suite over every room: the `backend` fixture runs a test with each array library."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import browsers
import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports triton

from crossent.backends.cpu import _extension  # noqa: E402
from crossent.errors import OptionError  # noqa: E402

settings.register_profile("dev", max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))  # a gate that gives the same answer twice


def pytest_addoption(parser: pytest.Parser) -> None:
    """An extension to test in place of the installed one: `make sanitize` builds such."""
    parser.addoption("--kernels", help="path of a build of crossent.backends.cpu._kernels")


def pytest_configure(config: pytest.Config) -> None:
    """Import the extension that --kernels names, before crossent does."""
    path = config.getoption("--kernels")
    if path:
        name = "crossent.backends.cpu._kernels"
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}


def rounded(values: Any, dtype: str | None) -> np.ndarray:
    """Values as a NumPy array, rounded once to a dtype; integers and booleans without one stay as they are."""
    values = np.asarray(values)
    return values if dtype is None else values.astype(DTYPES[dtype])


class NumPy:
    """NumPy arrays: no derivatives of their own."""

    name = "numpy"
    dtypes = ("float16", "bfloat16", "float32", "float64")
    differentiates = False

    def array(self, values: Any, dtype: str | None = None) -> Any:
        """An array of this library with the values, rounded to a dtype."""
        return rounded(values, dtype)

    def numpy(self, x: Any) -> np.ndarray:
        """The numbers of an array in float64 (integers stay integers)."""
        x = np.asarray(x)
        return x if x.dtype.kind in "iub" else x.astype(np.float64)

    def dtype_of(self, x: Any) -> str:
        """The name of an array's dtype."""
        return str(x.dtype).rpartition(".")[2]


class Level(NumPy):
    """NumPy arrays with the C++ kernels for one kind of processor, or without them."""

    def __init__(self, level: str) -> None:
        self.name, self.level = f"numpy-{level}", level


@contextlib.contextmanager
def kernels_of(level: str) -> Iterator[None]:
    """The kernels that CROSSENT_CPU names, taken by this process for a while."""
    before = os.environ.get("CROSSENT_CPU")
    os.environ["CROSSENT_CPU"] = level
    _extension.kernels.cache_clear()
    try:
        _extension.kernels()
    except OptionError as error:
        pytest.skip(str(error))
    try:
        yield
    finally:
        os.environ.pop("CROSSENT_CPU") if before is None else os.environ.update(CROSSENT_CPU=before)
        _extension.kernels.cache_clear()
        _extension.kernels()


class Strict(NumPy):
    """The array-API standard and nothing else."""

    name = "strict"
    dtypes = ("float32", "float64")

    def array(self, values: Any, dtype: str | None = None) -> Any:
        import array_api_strict

        return array_api_strict.asarray(rounded(values, dtype))

    def numpy(self, x: Any) -> np.ndarray:
        return super().numpy(np.from_dlpack(x))


class Torch(NumPy):
    """Torch tensors on the CPU, differentiated by autograd."""

    name = "torch"
    differentiates = True

    def array(self, values: Any, dtype: str | None = None) -> Any:
        import torch

        values = np.array(rounded(values, dtype))
        if dtype == "bfloat16":
            return torch.from_numpy(values.astype(np.float32)).bfloat16()
        return torch.from_numpy(values)

    def numpy(self, x: Any) -> np.ndarray:
        x = x.detach()
        return (x.double() if x.is_floating_point() else x).numpy()

    def gradient(self, function: Any, x: Any, cotangent: Any = None) -> tuple[Any, Any]:
        """(function(x), derivative of its product with the cotangent by x)."""
        x = x.detach().requires_grad_()
        value = function(x)
        value.backward(None if cotangent is None else self.array(cotangent, self.dtype_of(value)))
        return value.detach(), x.grad


class TorchWithoutKernels(Torch):
    """Torch tensors where the C++ kernels are not built."""

    name = "torch-agnostic"
    level = "agnostic"


class Triton(Torch):
    """Torch tensors in the kernels of the GPU: on one if there is one, else on the CPU through Triton's interpreter."""

    name = "triton"

    def array(self, values: Any, dtype: str | None = None) -> Any:
        return super().array(values, dtype).to(DEVICE)

    def numpy(self, x: Any) -> np.ndarray:
        return super().numpy(x.cpu())


LARGE = ("test_05_sums_of_sixteen_bit_numbers", "test_23_the_same_bits")  # more rows than the interpreter can take
MANY = {"test_every_combination_of_what_a_mean_divides_by": 4, "test_cross_entropy": 4, "test_binary": 2}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The interpreter takes a millisecond a row and more: on the CPU, what is too large or too much is left out."""
    seen: Counter[str] = Counter()
    for item in items:
        if DEVICE == "cpu" and "[triton" in item.name:
            if item.name.startswith(LARGE):
                item.add_marker(pytest.mark.skip(reason="too large for Triton's interpreter"))
            function = item.name.partition("[")[0]
            seen[function] += 1
            if seen[function] % MANY.get(function, 1):  # every fourth is enough for each commit
                item.add_marker(pytest.mark.slow)


def _round_as_hardware(patch: pytest.MonkeyPatch) -> None:
    """bfloat16 rounded to the nearest: the interpreter cuts off what does not fit."""
    import triton.language as tl
    from triton.runtime import interpreter

    own = interpreter.InterpreterBuilder.cast_impl

    def cast(self: Any, source: Any, target: Any) -> Any:
        kinds = source.dtype.scalar, target.scalar
        if kinds == (tl.float32, tl.bfloat16):
            return interpreter.TensorHandle(source.data.astype(ml_dtypes.bfloat16).view(np.uint16), target.scalar)
        if kinds == (tl.bfloat16, tl.float32):
            wide = (source.data.astype(np.uint32) << 16).view(np.float32)
            return interpreter.TensorHandle(wide, target.scalar)
        return own(self, source, target)

    patch.setattr(interpreter.InterpreterBuilder, "cast_impl", cast)


@contextlib.contextmanager
def kernels() -> Iterator[None]:
    """Triton's kernels for the tensors of DEVICE; the interpreter runs them in NumPy, which warns of infinities."""
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice encountered")
        patch.setattr("crossent._torch.ways.DEVICES", (DEVICE,))
        patch.setattr("crossent._torch.short.eager", lambda x, y: False)
        if DEVICE == "cpu":
            _round_as_hardware(patch)
        yield


class Jax(NumPy):
    """JAX arrays, differentiated by jax.vjp; float64 is switched on by the fixture."""

    name = "jax"
    differentiates = True

    def array(self, values: Any, dtype: str | None = None) -> Any:
        import jax.numpy as jnp

        return jnp.asarray(rounded(values, dtype))

    def gradient(self, function: Any, x: Any, cotangent: Any = None) -> tuple[Any, Any]:
        """(function(x), derivative of its product with the cotangent by x)."""
        import jax
        import jax.numpy as jnp

        value, pull = jax.vjp(function, x)
        cotangent = np.ones(value.shape) if cotangent is None else cotangent
        return value, pull(jnp.asarray(cotangent).astype(value.dtype))[0]


class Mlx(NumPy):
    """MLX arrays on the CPU, differentiated by mlx.core.vjp."""

    name = "mlx"
    differentiates = True

    def array(self, values: Any, dtype: str | None = None) -> Any:
        import mlx.core as mx

        mx.set_default_device(mx.cpu)
        values = rounded(values, dtype)
        if dtype == "bfloat16":
            return mx.array(values.astype(np.float32)).astype(mx.bfloat16)
        return mx.array(np.array(values), getattr(mx, str(values.dtype).replace("bool", "bool_")))

    def numpy(self, x: Any) -> np.ndarray:
        import mlx.core as mx

        return super().numpy(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x)

    def gradient(self, function: Any, x: Any, cotangent: Any = None) -> tuple[Any, Any]:
        """(function(x), derivative of its product with the cotangent by x)."""
        import mlx.core as mx

        value = function(x)
        cotangent = np.ones(value.shape) if cotangent is None else cotangent
        return value, mx.vjp(function, [x], [mx.array(np.asarray(cotangent), value.dtype)])[1][0]


ROOMS = [NumPy(), Torch(), Strict(), *map(Level, ("v3", "v2", "agnostic")), TorchWithoutKernels()]
ROOMS += [Triton()] if importlib.util.find_spec("triton") else []


def _room(room: NumPy, *marks: Any) -> Any:
    """A parameter of the fixture."""
    return pytest.param(room, id=room.name, marks=marks)


@pytest.fixture(params=[*(_room(room) for room in ROOMS), *(_room(room, pytest.mark.slow) for room in (Jax(), Mlx()))])
def backend(request: pytest.FixtureRequest) -> Any:
    """One array library after the other."""
    with contextlib.ExitStack() as stack:
        if request.param.name == "jax":
            jax = pytest.importorskip("jax")
            stack.enter_context(jax.enable_x64(True))
        if request.param.name == "mlx":
            pytest.importorskip("mlx.core")
        if hasattr(request.param, "level"):
            stack.enter_context(kernels_of(request.param.level))
        if request.param.name == "triton":
            stack.enter_context(kernels())
        yield request.param


@pytest.fixture(
    params=[_room(Torch()), _room(TorchWithoutKernels()), *(_room(room, pytest.mark.slow) for room in (Jax(), Mlx()))]
)
def differentiating(request: pytest.FixtureRequest) -> Any:
    """The libraries that differentiate."""
    with contextlib.ExitStack() as stack:
        if request.param.name == "jax":
            jax = pytest.importorskip("jax")
            stack.enter_context(jax.enable_x64(True))
        if request.param.name == "mlx":
            pytest.importorskip("mlx.core")
        if hasattr(request.param, "level"):
            stack.enter_context(kernels_of(request.param.level))
        yield request.param


collect_ignore = ["corpus"]  # sources to be read, not run


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium; see browsers."""
    with browsers.opened(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver
