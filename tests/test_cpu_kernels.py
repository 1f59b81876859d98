"""The C++ kernels by themselves: exp to one unit in the last place, threads, processes, memory, layouts, settings."""

from __future__ import annotations

import concurrent.futures
import math
import mmap
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import kernels_of
from hypothesis import given
from hypothesis import strategies as st

import crossent
from crossent.backends.cpu import _extension, _views

KERNELS = _extension.kernels()
pytestmark = pytest.mark.skipif(KERNELS is None, reason="the kernels are not built, or switched off")
LEVELS = ["v2", "v3", "v4"]


def elementary(x: np.ndarray, which: int) -> np.ndarray:
    """exp (0), log1p (1), tanh (2) or log1p of a number up to 1 (3) by the kernels."""
    y = np.empty_like(x)
    KERNELS.elementary(_views.address(x), _views.address(y), x.size, x.dtype == np.float64, which)
    return y


def ulps(got: np.ndarray, exact: np.ndarray) -> float:
    """The largest distance in units of the last place of got's dtype."""
    spacing = np.spacing(np.abs(exact).astype(got.dtype)).astype(exact.dtype)
    return float(np.max(np.abs(got.astype(exact.dtype) - exact) / spacing))


def negative_floats(first: int, last: int, step: int = 1) -> np.ndarray:
    """Negative float32 numbers by their bits, from −0 (0x80000000) on."""
    return np.arange(first, last, step, dtype=np.uint32).view(np.float32)


LOWEST = int(np.float32(-104.5).view(np.uint32))  # beyond it exp is 0 in float32


@pytest.mark.parametrize("level", LEVELS)
def test_exp_is_right_to_one_unit(level: str) -> None:
    with kernels_of(level):
        x = negative_floats(0x80000000, LOWEST, 997)
        assert ulps(elementary(x, 0), np.exp(x.astype(np.float64))) <= 1.0
        wide = -np.random.default_rng(0).exponential(60, 200_000)
        wide = np.concatenate([wide[wide > -745], np.linspace(-745.1, -707, 5000), -np.logspace(-20, 2, 5000)])
        assert ulps(elementary(wide, 0), np.exp(wide.astype(np.longdouble))) <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_exp_is_right_to_one_unit_for_every_float32(level: str) -> None:
    with kernels_of(level):
        for first in range(0x80000000, LOWEST, 1 << 26):
            x = negative_floats(first, min(first + (1 << 26), LOWEST))
            assert ulps(elementary(x, 0), np.exp(x.astype(np.float64))) <= 1.0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log1p_and_tanh_are_right_to_one_unit(level: str, dtype: type) -> None:
    with kernels_of(level):
        x = np.concatenate([[0.0], np.logspace(-30, 30, 100_000), np.linspace(0, 4, 100_000)]).astype(dtype)
        assert ulps(elementary(x, 1), np.log1p(x.astype(np.longdouble))) <= 1.0
        x = np.concatenate([-x[x < 1e3], x[x < 1e3]])
        assert ulps(elementary(x, 2), np.tanh(x.astype(np.longdouble))) <= 1.0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log1p_of_a_number_up_to_1(level: str, dtype: type) -> None:
    with kernels_of(level):
        x = np.concatenate([[0.0], np.logspace(-30, 0, 200_000), np.linspace(0, 1, 200_000)]).astype(dtype)
        assert ulps(elementary(x, 3), np.log1p(x.astype(np.longdouble))) <= 1.1


def exact_rows(x: np.ndarray, q: np.ndarray, temperature: float = 1.0) -> tuple[np.ndarray, ...]:
    """Loss, gradient and log-softmax of rows in extended precision, from the formulas alone."""
    z = x.astype(np.longdouble)
    d = (z - z.max(1, keepdims=True)) / np.longdouble(temperature)
    e, q = np.exp(d), q.astype(np.longdouble)
    rest = np.where(np.arange(x.shape[1]) == x.argmax(1)[:, None], 0, e).sum(1)
    loss = q.sum(1) * np.log1p(rest) - (q * d).sum(1)
    gradient = (q.sum(1, keepdims=True) * e / e.sum(1, keepdims=True) - q) / np.longdouble(temperature)
    return loss, gradient, d - np.log1p(rest)[:, None]


UNIT = {np.float32: 2.0**-24, np.float64: 2.0**-53}


def off(got: np.ndarray, exact: np.ndarray) -> float:
    """The largest relative distance in units of 2⁻²⁴ or 2⁻⁵³, of numbers that have all their bits."""
    live = np.abs(exact) > np.finfo(got.dtype).tiny / np.finfo(got.dtype).eps
    return (
        float(np.max(np.abs(got[live].astype(np.longdouble) - exact[live]) / np.abs(exact[live]), initial=0))
        / UNIT[got.dtype.type]
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(40, 2), (40, 21), (20, 130), (10, 1000), (2, 5000)])
def test_losses_and_gradients_are_right_to_the_last_bits(level: str, dtype: type, shape: tuple[int, int]) -> None:
    """Of improbable classes too, wherever the classes lie, under a temperature and an offset."""
    rng = np.random.default_rng(shape[1])
    y = rng.integers(0, shape[1], shape[0])
    for width, offset, temperature in [(1.0, 0.0, 1.0), (25.0, 0.0, 1.0), (3.0, 1e6, 0.7), (9.0, 3.0, 0.3)]:
        x = (rng.normal(size=shape) * width + offset).astype(dtype)
        exact, exact_gradient, exact_logs = exact_rows(x, np.eye(shape[1])[y], temperature)
        others = np.arange(shape[1]) != y[:, None]  # at the class itself p − 1 may cancel in the reference
        for axis in (1, 0):
            given = x if axis == 1 else np.ascontiguousarray(x.T)
            with kernels_of(level):
                loss, gradient = crossent.cross_entropy_with_grad(
                    given, y, axis=axis, temperature=temperature, reduction="none", check=False
                )
                p = crossent.softmax(given, axis, temperature=temperature)
                logs = crossent.log_softmax(given, axis, temperature=temperature)
            turned = [a if axis == 1 else a.T for a in (gradient, p, logs)]
            probability = exact_gradient * temperature + (~others)
            assert off(loss, exact) <= 3
            assert off(turned[0][others], exact_gradient[others]) <= 6
            assert off(turned[1][others], probability[others]) <= 4
            assert off(turned[2], exact_logs) <= 4


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("classes", [3, 60, 1000, 5000])
def test_probability_targets_are_summed_with_care(level: str, classes: int) -> None:
    equal = np.zeros((2, classes), np.float32)
    q = np.full((2, classes), np.float32(1) / np.float32(classes), np.float32)
    exact = exact_rows(equal, q)[0]
    with kernels_of(level):
        loss, gradient = crossent.cross_entropy_with_grad(equal, q, reduction="none", check=False)
        assert off(loss, exact) <= 2
        far = np.full((2, classes), -1.7e38, np.float32)
        far[:, 1] = 3.06e38
        q[:] = 0
        q[:, 0], q[:, 1] = 0.1, 0.9
        loss, gradient = crossent.cross_entropy_with_grad(far, q, reduction="none", check=False)
    np.testing.assert_allclose(loss, 4.76e37, rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_losses_are_right_to_the_last_bits(level: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=500) * 30, rng.normal(size=500), rng.normal(size=500) * 1e-5, [615.73, 0.0]])
    x = x.astype(dtype)
    for label in (0.5, 1.0, 0.0, 0.3):
        for smoothing in (0.0, 0.25):
            y = np.full(x.shape, label, dtype)
            z, up = x.astype(np.longdouble), np.longdouble(y[0]) * np.longdouble(1 - smoothing) + smoothing / 2
            down = np.longdouble(1 - smoothing) * (1 - np.longdouble(y[0])) + smoothing / 2
            exact = up * np.logaddexp(np.longdouble(0), -z) + down * np.logaddexp(np.longdouble(0), z)
            gradient = (down - up) / 2 + (down + up) * np.tanh(z / 2) / 2
            leaf, options = torch.from_numpy(x.copy()).requires_grad_(), {"label_smoothing": smoothing}
            with kernels_of(level):
                loss = crossent.binary_cross_entropy_with_logits(x, y, reduction="none", **options)
                crossent.binary_cross_entropy_with_logits(
                    leaf, torch.from_numpy(y), reduction="sum", **options
                ).backward()
            assert off(loss, exact) <= 4
            if label == 0.5:  # elsewhere the reference cancels in the tails
                assert off(leaf.grad.numpy(), gradient) <= 6


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limits_of_the_elementary_functions(level: str, dtype: type) -> None:
    with kernels_of(level):
        payload = np.array([0x7FC00123], np.uint32).view(np.float32).astype(dtype)[0]
        x = np.array([0.0, -0.0, -np.inf, np.nan, payload, -1e30], dtype)
        np.testing.assert_array_equal(elementary(x, 0), np.array([1, 1, 0, np.nan, np.nan, 0], dtype))
        x = np.array([0.0, np.inf, np.nan, payload], dtype)
        np.testing.assert_array_equal(elementary(x, 1), np.array([0, np.inf, np.nan, np.nan], dtype))
        x = np.array([0.0, -np.inf, np.inf, np.nan], dtype)
        np.testing.assert_array_equal(elementary(x, 2), np.array([0, -1, 1, np.nan], dtype))


def every_result(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """What the kernels say of a batch, by every walk."""
    classes_first = np.ascontiguousarray(np.moveaxis(x.reshape(4, -1, x.shape[1]), -1, 1))
    loss, gradient = crossent.cross_entropy_with_grad(x, y, label_smoothing=0.1)
    rows = crossent.cross_entropy(classes_first, y.reshape(4, -1), reduction="none")
    return [
        loss,
        gradient,
        rows,
        crossent.softmax(x),
        crossent.softmax(classes_first, axis=1),
        *crossent.row_stats(x, y),
    ]


@pytest.mark.parametrize("classes", [7, 300, 5000])
def test_the_same_bits_for_any_number_of_threads(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200_000 // classes // 4 * 4, classes)).astype(np.float32), None
    y = rng.integers(0, classes, len(x))
    monkeypatch.setattr(_extension, "_own_threads", None)
    results = []
    for count in (1, 2, 3, 7):
        crossent.set_num_threads(count)
        assert crossent.get_num_threads() == count
        results.append(every_result(x, y))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_many_callers_at_once() -> None:
    rng = np.random.default_rng(1)
    batches = [(rng.normal(size=(400, 500)).astype(np.float32), rng.integers(0, 500, 400)) for _ in range(8)]
    wanted = [every_result(*batch) for batch in batches]
    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        for _ in range(5):
            for got, expected in zip(executor.map(lambda b: every_result(*b), batches), wanted, strict=True):
                for one, two in zip(got, expected, strict=True):
                    np.testing.assert_array_equal(one, two)


FORKED = """
import multiprocessing, sys
import numpy as np
{first}
import crossent
from crossent.backends.cpu import _extension
x, y = np.random.default_rng(0).normal(size=(2000, 300)).astype(np.float32), np.arange(2000) % 300

def loss():
    return float(crossent.cross_entropy(x, y))

def child(queue):
    queue.put(loss())

here = loss()
crossent.set_num_threads(2)
here = loss()
context = multiprocessing.get_context("fork")
queue = context.Queue()
children = [context.Process(target=child, args=(queue,)) for _ in range(3)]
for process in children:
    process.start()
print([queue.get(timeout=60) == here for _ in children])
for process in children:
    process.join(60)
print([process.exitcode for process in children])
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.parametrize("first", ["", "import torch"])
def test_after_a_fork(first: str) -> None:
    code = FORKED.format(first=first)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "[True, True, True]\n[0, 0, 0]\n"


def test_the_interpreter_ends_with_threads_waiting() -> None:
    code = """
import threading, numpy as np, crossent
crossent.set_num_threads(4)
x, y = np.zeros((4000, 300), np.float32), np.zeros(4000, int)
thread = threading.Thread(target=lambda: [crossent.cross_entropy(x, y) for _ in range(1000)], daemon=True)
thread.start()
crossent.cross_entropy(x, y)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_set_num_threads_wants_a_number() -> None:
    with pytest.raises(
        crossent.errors.OptionError, match=r"set_num_threads: number must be a whole number of at least 1"
    ):
        crossent.set_num_threads(0)


def test_threads_follow_torch_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_extension, "_own_threads", None)
    assert crossent.get_num_threads() == torch.get_num_threads()
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert crossent.get_num_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert crossent.get_num_threads() >= 1


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_the_environment_chooses_the_kernels() -> None:
    code = "from crossent.backends.cpu import describe; print(describe())"
    assert "(v2, " in run(code, CROSSENT_CPU="v2").stdout
    assert run(code, CROSSENT_CPU="agnostic").stdout == "switched off by CROSSENT_CPU=agnostic\n"
    failed = run(code, CROSSENT_CPU="avx9")
    assert "CROSSENT_CPU='avx9', expected one of v2, v3, v4, agnostic" in failed.stderr


def test_without_the_extension_everything_works() -> None:
    code = """
import sys
sys.modules["crossent.backends.cpu._kernels"] = None
import numpy as np, crossent
from crossent.backends.cpu import describe
print(describe())
print(float(crossent.cross_entropy(np.zeros((2, 4)), np.array([0, 1]))), crossent.empty_cache())
"""
    lines = run(code).stdout.splitlines()
    assert lines[0].startswith("not built")
    assert lines[1] == f"{math.log(4)} 0"


def test_large_results_lie_in_memory_that_is_used_again() -> None:
    crossent.empty_cache()
    x, y = np.zeros((1024, 2048), np.float32), np.zeros(1024, int)
    first = crossent.cross_entropy_with_grad(x, y)[1]
    place = first.ctypes.data
    second = crossent.cross_entropy_with_grad(x, y)[1]
    assert second.ctypes.data != place
    view = first[3:]
    del first
    third = crossent.cross_entropy_with_grad(x, y)[1]
    assert third.ctypes.data != place  # a view still lives there
    del view, third
    fourth = crossent.cross_entropy_with_grad(x, y)[1]
    assert fourth.flags.writeable
    del fourth, second
    assert crossent.empty_cache() == 3 * x.nbytes
    assert crossent.empty_cache() == 0


def test_a_gradient_and_a_softmax_in_turn_use_the_same_memory() -> None:
    crossent.empty_cache()
    x, y = np.zeros((1024, 2048), np.float32), np.zeros(1024, int)
    held = crossent.cross_entropy_with_grad(x, y)[1]
    places = set()
    for _ in range(5):
        p = crossent.softmax(x)
        places.add(p.ctypes.data)
        del p
        places.add(held.ctypes.data)
        held = crossent.cross_entropy_with_grad(x, y)[1]
    assert len(places) == 2
    del held
    crossent.empty_cache()


def test_a_few_blocks_are_kept_no_more() -> None:
    crossent.empty_cache()
    size = 1 << 21
    for place in [KERNELS.reserve(size) for _ in range(20)]:
        KERNELS.release(place, size)
    assert crossent.empty_cache() == 8 * size
    large = (1 << 30) + size  # promised, never touched
    for place in [KERNELS.reserve(large) for _ in range(2)]:
        KERNELS.release(place, large)
    assert crossent.empty_cache() == large


def test_a_large_gradient_has_the_order_of_the_logits() -> None:
    x = torch.randn(64, 32, 1024).transpose(0, 2).requires_grad_()
    crossent.cross_entropy(x, torch.zeros(1024, 64, dtype=torch.long), reduction="sum").backward()
    assert x.grad.stride() == x.stride()
    wanted = torch.softmax(x.detach(), 1)
    wanted[:, 0] -= 1
    torch.testing.assert_close(x.grad, wanted)


@pytest.mark.skipif(not hasattr(mmap, "MAP_ANONYMOUS"), reason="needs memory that is only promised")
@pytest.mark.parametrize("axis", [-1, 0])
def test_21_offsets_beyond_32_bits(axis: int) -> None:
    """Rows, or classes, 2**30 elements apart: the memory between them is promised and never touched."""
    step = 2**30
    try:
        memory = mmap.mmap(-1, (2 * step + 8) * 2, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        pytest.skip("this system promises no 4 GiB")
    apart = np.frombuffer(memory, np.float16)
    shape = (3, 5)
    x = np.lib.stride_tricks.as_strided(apart, shape, (2 * step, 2), writeable=True)
    x[...] = np.random.default_rng(0).normal(size=shape)
    y = np.arange(3) if axis == -1 else np.arange(5) % 3
    for got, wanted in zip(
        crossent.cross_entropy_with_grad(x, y, axis=axis),
        crossent.cross_entropy_with_grad(x.copy(), y, axis=axis),
        strict=True,
    ):
        np.testing.assert_array_equal(got, wanted)
    _, gradient = crossent.cross_entropy_with_grad(x.copy(), y, axis=axis)
    crossent.cross_entropy_with_grad(x, y, axis=axis, inplace=True)
    np.testing.assert_array_equal(x, gradient)


def test_the_gradient_is_handed_on_without_a_copy() -> None:
    x = torch.randn(2048, 1024, requires_grad=True)
    loss = crossent.cross_entropy(x, torch.zeros(2048, dtype=torch.long))
    place = loss.grad_fn.gradient.data_ptr()
    loss.backward()
    assert x.grad.data_ptr() == place


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_upstream_gradient_is_applied_once(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, y, factor = torch.randn(50, 40).to(dtype).requires_grad_(), torch.arange(50) % 40, 3.7e-3
    (crossent.cross_entropy(x, y) * factor).backward()
    exact = x.detach().double().requires_grad_()
    (torch.nn.functional.cross_entropy(exact, y) * torch.tensor(factor).to(dtype).double()).backward()
    bound = 1.01 if dtype is torch.float32 else 0.51  # roundings: of the gradient and of the product, or one
    unit = torch.finfo(dtype).eps * exact.grad.abs().clamp(min=torch.finfo(dtype).tiny) * bound + 1e-12
    assert ((x.grad.double() - exact.grad).abs() <= unit * 2).all()


def test_a_loss_scale_saves_what_float16_cannot_hold() -> None:
    x = (torch.randn(4096, 300).half() * 4).requires_grad_()
    y = torch.zeros(4096, dtype=torch.long)
    (crossent.cross_entropy(x, y) * 65536.0).backward()
    exact = x.detach().double().requires_grad_()
    (torch.nn.functional.cross_entropy(exact, y) * 65536.0).backward()
    assert (x.grad[exact.grad.abs() > 1e-7] != 0).all()


def test_backward_needs_the_logits_as_they_were() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    logits = x * 1
    loss = crossent.cross_entropy(logits, torch.tensor([0, 1, 2]))
    logits.detach().add_(1)
    loss.backward()  # the gradient was formed with the loss
    loss = crossent.cross_entropy(logits, torch.tensor([0, 1, 2]), reduction="none")
    logits.detach().add_(1)
    with pytest.raises(RuntimeError, match=r"float32 tensor of shape \(3, 4\) again .* modify a copy"):
        loss.sum().backward()


@pytest.mark.parametrize("loss", ["quick", "general", "binary"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_14_no_pass_changes_what_another_gave(loss: str, dtype: torch.dtype) -> None:
    x, y = torch.randn(4, 5).to(dtype).requires_grad_(), torch.tensor([0, 1, 2, 3])
    if loss == "binary":
        value = crossent.binary_cross_entropy_with_logits(x, torch.rand(4, 5).to(dtype))
    else:
        value = crossent.cross_entropy(x, y, **({"sample_weight": torch.ones(4)} if loss == "general" else {}))
    (first,) = torch.autograd.grad(value, x, retain_graph=True)
    before = first.clone()
    first.neg_()  # a caller may do with it what it likes
    (second,) = torch.autograd.grad(value, x, retain_graph=True)
    torch.testing.assert_close(second, before, rtol=0, atol=0)
    (third,) = torch.autograd.grad(value, x, torch.tensor(2.0).to(dtype))
    torch.testing.assert_close(second, before, rtol=0, atol=0)
    torch.testing.assert_close(third, 2 * before, rtol=2**-7, atol=0)


@pytest.mark.parametrize("options", [{"reduction": "none"}, {}, {"sample_weight": torch.ones(3)}])
def test_backward_needs_the_target_as_it_was(options: dict) -> None:
    x, y = torch.randn(3, 4, dtype=torch.bfloat16, requires_grad=True), torch.tensor([0, 1, 2])
    loss = crossent.cross_entropy(x, y, **options)
    y.zero_()
    with pytest.raises(RuntimeError, match=r"int64 tensor of shape \(3,\) again .* modify a copy"):
        torch.autograd.grad(loss.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"int64 tensor of shape \(3,\) again .* modify a copy"):
        (loss.sum() * 3).backward()


def test_a_binary_loss_needs_its_weights_as_they_were() -> None:
    x, weight = torch.randn(3, 4, requires_grad=True), torch.ones(3, 4)
    loss = crossent.binary_cross_entropy_with_logits(x, torch.rand(3, 4), weight, reduction="none")
    weight.zero_()
    with pytest.raises(RuntimeError, match=r"float32 tensor of shape \(3, 4\) again"):
        loss.sum().backward()


def test_a_second_backward_pass_says_what_it_needs() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    loss = crossent.cross_entropy(x, torch.tensor([0, 1, 2]))
    loss.backward()
    with pytest.raises(RuntimeError, match="use retain_graph=True"):
        loss.backward()


@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 60), st.booleans(), st.data())
def test_random_layouts(outer: int, classes: int, inner: int, last: bool, data: st.DataObject) -> None:
    """Any strides, sliced and turned round, classes anywhere, against the same numbers made contiguous."""
    rng = np.random.default_rng(classes)
    shape = (outer * 2, classes * 2, inner * 2)
    steps = [data.draw(st.sampled_from([1, 2, -1, -2])) for _ in shape]
    x = rng.normal(size=shape)[tuple(slice(None, None, step) for step in steps)]
    axis = -1 if last else 1
    copy = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    y = rng.integers(0, copy.shape[-1], copy.shape[:-1])
    loss, gradient = crossent.cross_entropy_with_grad(x, y, axis=axis, check=False)
    expected, expected_gradient = crossent.cross_entropy_with_grad(copy, y, axis=-1, check=False)
    np.testing.assert_allclose(loss, expected, rtol=1e-13)
    np.testing.assert_allclose(np.moveaxis(gradient, axis, -1), expected_gradient, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(
        np.moveaxis(crossent.log_softmax(x, axis), axis, -1), crossent.log_softmax(copy), rtol=1e-12
    )


@pytest.mark.parametrize("transposed", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("classes", [2, 17, 1000, 5000])
@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_a_sum_over_classes_that_float32_does_not_hold_is_no_infinite_loss(classes, smoothing, transposed) -> None:
    for large in (1.8e35, 2.6e38, 3e38):
        x = np.random.default_rng(0).normal(size=(4, classes)).astype(np.float32)
        x[:, 0] = large
        y, options = np.full(4, 1), {"label_smoothing": smoothing, "reduction": "none"}
        exact = crossent.cross_entropy(x.astype(np.float64), y, **options)
        given = np.asfortranarray(x) if transposed else x
        np.testing.assert_allclose(crossent.cross_entropy(given, y, **options), exact, rtol=1e-6)
