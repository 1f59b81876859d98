"""Processes: signals while a kernel works, forks with tensors at work, workers of others, threads, flat memory."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from workers import Losses, loss_of

import crossent
from crossent.backends import cpu

needs_kernels = pytest.mark.skipif(not cpu.built(), reason="the kernels are not built")
unix = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks as Unix has them")
LONG = np.broadcast_to(np.linspace(-1, 1, 1000, dtype=np.float32), (800_000, 1000))  # no memory, much work


@needs_kernels
@unix
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", ["cross_entropy", "logsumexp", "torch"])
def test_signals_are_answered_while_a_kernel_works(threads, call):
    """A handler runs several times within one call; without looks it would run once, after it."""
    before, heard = crossent.get_num_threads(), []
    crossent.set_num_threads(threads)
    target = np.zeros(len(LONG), int)
    work = {
        "cross_entropy": lambda: crossent.cross_entropy(LONG, target),
        "logsumexp": lambda: crossent.logsumexp(LONG, 1),
        "torch": lambda: crossent.cross_entropy(
            torch.from_numpy(LONG[0].copy()).expand(LONG.shape), torch.from_numpy(target)
        ),
    }[call]
    expected = work()
    handler = signal.signal(signal.SIGALRM, lambda *_: heard.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        result = work()
        within = len(heard)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        crossent.set_num_threads(before)
    assert within >= 2
    np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))


@needs_kernels
@unix
def test_ctrl_c_leaves_the_rest_undone_and_the_next_call_is_right():
    small = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    expected = crossent.softmax(small)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        list(map(crossent.logsumexp, [LONG] * 1000, [1] * 1000))
    timer.join()
    np.testing.assert_array_equal(crossent.softmax(small), expected)


# --- fork and workers -------------------------------------------------------------------------------------------------

FORKED = """
import os, sys, threading, torch, crossent
torch.set_num_threads(2)
crossent.set_num_threads(2)
x = torch.randn(2000, 500, generator=torch.Generator().manual_seed(0), requires_grad=True)
y = torch.arange(2000) % 500
def loss():
    x.grad = None
    value = crossent.cross_entropy(x, y)
    value.backward()
    return value.item(), x.grad[::100, ::50].tolist()  # a sum would be of torch's own pool, which a child has lost
expected = loss()
stop = threading.Event()
def work():
    with torch.no_grad():
        while not stop.is_set():
            crossent.softmax(x.detach(), 1)
thread = threading.Thread(target=work)
thread.start()  # a kernel is at work in every fork
children = []
for _ in range(10):
    child = os.fork()
    if not child:
        os._exit(0 if loss() == expected else 1)
    children.append(child)
same = loss() == expected
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
stop.set()
thread.join()
assert same and codes == [0] * 10, codes
"""


@unix
def test_forks_while_a_kernel_works_with_tensors_on_both_sides():
    """Parent and children go on with the tensors that they share; each child ends, and says the same."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=True, timeout=100)


@pytest.mark.parametrize(
    "method", [*(["fork"] if hasattr(os, "fork") else []), pytest.param("spawn", marks=pytest.mark.slow)]
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_data_loader_workers(method):
    crossent.cross_entropy(torch.randn(500, 400), torch.zeros(500, dtype=torch.long))  # pools are up
    loader = torch.utils.data.DataLoader(Losses(), batch_size=2, num_workers=2, multiprocessing_context=method)
    got = torch.cat(list(loader))
    torch.testing.assert_close(got, torch.stack([Losses()[index] for index in range(8)]), rtol=0, atol=0)


@pytest.mark.slow
def test_joblib_workers():
    joblib = pytest.importorskip("joblib")
    got = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(loss_of)(seed) for seed in range(6))
    assert got == [loss_of(seed) for seed in range(6)]


def test_a_pool_of_processes():
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    with context.Pool(1) as pool:
        assert pool.map(loss_of, [1, 2]) == [loss_of(1), loss_of(2)]


INTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
number = interpreters.create()
problem = interpreters.{run}(number, '''
import warnings
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's own word about interpreters
        import numpy as np, crossent
    x = np.arange(12.0).reshape(3, 4) ** 2
    loss = crossent.cross_entropy(x, np.arange(3), reduction="none")
    print("right", abs(loss - (np.log(np.exp(x).sum(axis=1)) - x[np.arange(3), np.arange(3)])).max() < 1e-12)
except ImportError as error:
    print("refused", error)
''')
print("problem", problem)
"""


@unix
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="interpreters have another interface")
def test_another_interpreter_gets_right_numbers_or_a_clear_refusal():
    run = "exec" if sys.version_info >= (3, 13) else "run_string"
    code = INTERPRETER.format(run=run)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    answer, problem = done.stdout.splitlines()
    assert problem == "problem None"
    assert answer == "right True" or re.match("refused .*(interpreter|more than once per process)", answer)


@unix
def test_the_extension_loads_into_an_interpreter_of_its_own_lock():
    """NumPy refuses such interpreters; the kernels keep nothing of one, and may be in several."""
    interpreters = pytest.importorskip("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    extension = cpu._extension.kernels()
    if extension is None or sys.version_info < (3, 12):
        pytest.skip("no kernels, or a Python without interpreters of their own lock")
    load = (
        "import importlib.util as u; spec = u.spec_from_file_location('crossent.backends.cpu._kernels', {path!r}); "
        "module = u.module_from_spec(spec); spec.loader.exec_module(module); assert module.choose(None)"
    )
    number = interpreters.create()
    run = interpreters.exec if hasattr(interpreters, "exec") else interpreters.run_string
    assert run(number, load.format(path=extension.__file__)) is None


# --- threads and memory -----------------------------------------------------------------------------------------------


def test_eight_threads_each_get_their_own_answer():
    inputs = [np.random.default_rng(seed).normal(size=(200, 300)).astype(np.float32) for seed in range(8)]
    expected = [crossent.softmax(x, 1) for x in inputs]
    wrong = []

    def work(place):
        for _ in range(50):
            if not np.array_equal(crossent.softmax(inputs[place], 1), expected[place]):
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def resident():
    """The memory of this process in bytes."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the memory is read from /proc")
@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("calls", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_memory_stays_flat(library, calls):
    x, y = np.ones((4, 5), np.float32), np.arange(4)
    if library == "torch":
        x, y = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)

    def work(times):
        for _ in range(times):
            loss = crossent.cross_entropy(x, y)
            if library == "torch":
                loss.backward()
        gc.collect()
        return resident()

    work(2_000)
    before = work(2_000)
    assert work(calls) - before < calls * 16  # a single object a call would be more


def test_targets_changed_meanwhile_give_no_nan():
    """Targets are read once: what was valid when it was checked gives a loss, whatever another thread writes."""
    x = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    target, stop = np.zeros(64, np.int64), threading.Event()

    def disturb():
        while not stop.is_set():
            target[:] = 10_000
            target[:] = 3

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(300):
            with contextlib.suppress(crossent.errors.ClassIndexError):
                assert np.isfinite(crossent.cross_entropy(x, target))
    finally:
        stop.set()
        thread.join()
