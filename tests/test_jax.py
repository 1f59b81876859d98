"""JAX: the kernels as XLA's custom call, the rules of derivatives, the linear layer in a scan."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossent

jax = pytest.importorskip("jax")
jnp = jax.numpy
pytestmark = pytest.mark.slow
KERNELS = Path(crossent.__file__).parent / "backends" / "cpu" / "kernels"
SAME = """
#include "xla/ffi/api/c_api.h"
#include "xla.h"
#define SAME(ours, field, theirs, name) \\
  static_assert(offsetof(crossent::xla::ours, field) == offsetof(theirs, name), #ours "." #field)
SAME(Extension, type, XLA_FFI_Extension_Base, type);
SAME(Extension, next, XLA_FFI_Extension_Base, next);
SAME(Version, major, XLA_FFI_Api_Version, major_version);
SAME(Version, minor, XLA_FFI_Api_Version, minor_version);
SAME(Metadata, version, XLA_FFI_Metadata, api_version);
SAME(Metadata, traits, XLA_FFI_Metadata, traits);
SAME(MetadataExtension, metadata, XLA_FFI_Metadata_Extension, metadata);
SAME(ErrorCreateArgs, message, XLA_FFI_Error_Create_Args, message);
SAME(ErrorCreateArgs, code, XLA_FFI_Error_Create_Args, errc);
SAME(Api, version, XLA_FFI_Api, api_version);
SAME(Api, create_error, XLA_FFI_Api, XLA_FFI_Error_Create);
SAME(Buffer, dtype, XLA_FFI_Buffer, dtype);
SAME(Buffer, data, XLA_FFI_Buffer, data);
SAME(Buffer, dims, XLA_FFI_Buffer, dims);
SAME(Buffers, size, XLA_FFI_Args, size);
SAME(Buffers, buffers, XLA_FFI_Args, args);
SAME(Buffers, buffers, XLA_FFI_Rets, rets);
SAME(CallFrame, api, XLA_FFI_CallFrame, api);
SAME(CallFrame, stage, XLA_FFI_CallFrame, stage);
SAME(CallFrame, args, XLA_FFI_CallFrame, args);
SAME(CallFrame, results, XLA_FFI_CallFrame, rets);
static_assert(crossent::xla::execute == XLA_FFI_ExecutionStage_EXECUTE, "stage");
static_assert(crossent::xla::metadata_extension == XLA_FFI_Extension_Metadata, "extension");
"""
OPTIONS: list[dict[str, Any]] = [
    {},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"ignore_index": 3},
    {"label_smoothing": 0.1},
    {"softcap": 2.0, "temperature": 0.7},
    {"weight": np.linspace(0.5, 2, 7)},
    {"sample_weight": np.linspace(0, 2, 6), "denominator": 5},
]


def test_the_declarations_are_those_of_the_header(tmp_path: Path) -> None:
    compiler = shutil.which("c++") or pytest.skip("there is no C++ compiler")
    source = tmp_path / "same.cpp"
    source.write_text(SAME)
    words = [compiler, "-std=c++17", "-fsyntax-only", f"-I{jax.ffi.include_dir()}", f"-I{KERNELS}", str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def batch(dtype: str = "float32") -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.standard_normal((6, 7)) * 3, dtype), jnp.asarray([0, 3, 6, 2, 3, 1])


def by_the_definition(monkeypatch: pytest.MonkeyPatch, function: Any) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr("crossent._jax.kernels.ready", lambda: False)
        jax.clear_caches()
        result = function()
    jax.clear_caches()
    return result


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_kernels_and_definition_agree(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        x, y = batch(dtype)
        arrays = {k: jnp.asarray(v, x.dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}

        def total(x: Any) -> Any:
            return crossent.cross_entropy(x, y, **arrays).sum()

        def both() -> Any:
            return jax.jit(jax.value_and_grad(total))(x)

        value, gradient = both()
        wanted, wanted_gradient = by_the_definition(monkeypatch, both)
        eps = float(jnp.finfo(x.dtype).eps)
        np.testing.assert_allclose(float(value), float(wanted), rtol=4 * eps)
        assert gradient.dtype == x.dtype
        gradients = [np.asarray(g, np.float64) for g in (gradient, wanted_gradient)]
        np.testing.assert_allclose(*gradients, rtol=8 * eps, atol=eps / 10)  # of the terms w·p and q


def test_transforms_go_through_the_kernels() -> None:
    x, y = batch()
    loss = crossent.cross_entropy
    gradient = jax.grad(loss)(x, y)
    rows = jax.vmap(jax.value_and_grad(lambda x, y: loss(x[None], y[None])))(x, y)
    np.testing.assert_allclose(rows[0].mean(), loss(x, y), rtol=1e-6)
    np.testing.assert_allclose(rows[1] / 6, gradient, rtol=1e-6)
    np.testing.assert_allclose(jax.jacfwd(loss)(x, y), gradient, rtol=1e-6)
    second = jax.hessian(loss)(x, y)[0, :, 0, :]
    p = jax.nn.softmax(x[0])
    np.testing.assert_allclose(second, (jnp.diag(p) - jnp.outer(p, p)) / 6, atol=1e-7)
    by_weight = jax.grad(lambda w: loss(x, y, sample_weight=w))(jnp.ones(6))
    rowwise = loss(x, y, reduction="none")
    np.testing.assert_allclose(by_weight, (rowwise - rowwise.mean()) / 6, atol=1e-6)


def test_what_does_not_count_and_what_is_no_class() -> None:
    x, y = batch()
    x = x.at[1].set(jnp.nan)
    gradient = jax.jit(jax.grad(lambda x: crossent.cross_entropy(x, y, ignore_index=3)))(x)
    assert bool(jnp.all(gradient[1] == 0))
    assert bool(jnp.all(jnp.isfinite(gradient)))
    rows = jax.jit(lambda x, y: crossent.cross_entropy(x, y, reduction="none"))(x, y.at[0].set(9))
    assert np.isnan(rows).tolist() == [True, True, False, False, False, False]
    empty = jax.jit(lambda y: crossent.cross_entropy(x, y, on_empty="zero"))(jnp.full(6, -100))
    assert float(empty) == 0


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("options", [{}, {"reduction": "sum"}, {"ignore_index": 3, "label_smoothing": 0.1}], ids=str)
def test_the_linear_layer_in_a_scan(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], bias: bool) -> None:
    monkeypatch.setattr("crossent._jax.linear.BUDGET", 4 * 7 * 4)  # four rows a block, the last one not full
    rng = np.random.default_rng(1)
    x, weight, b = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((6, 5), (7, 5), (7,)))
    b, y = b * bias, batch()[1]

    def fused(x: Any, weight: Any, b: Any) -> Any:
        return crossent.linear_cross_entropy(x, weight, y, linear_bias=b if bias else None, **options)

    def whole(x: Any, weight: Any, b: Any) -> Any:
        return crossent.cross_entropy(x @ weight.T + b, y, **options)

    for derivative in (lambda f: f, lambda f: jax.grad(f, argnums=(0, 1)), jax.hessian, jax.jacfwd):
        results = [jax.tree.leaves(jax.jit(derivative(f))(x, weight, b)) for f in (fused, whole)]
        for got, wanted in zip(*results, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_no_logits_are_stored() -> None:
    x, weight, y = jnp.zeros((1024, 16)), jnp.zeros((32000, 16)), jnp.zeros(1024, jnp.int32)
    function = jax.jit(jax.value_and_grad(crossent.linear_cross_entropy, argnums=(0, 1)))
    memory = function.lower(x, weight, y).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 64 * 2**20  # the logits alone are 125 MiB
