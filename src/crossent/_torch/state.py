"""What torch is doing now: the only place with torch's private names.

Each is guarded, so that a torch without one of them (2.10 to 2.14 have them all) costs speed at most, never an answer.
Every way into the kernels asks the same question, `watched`: if something has to see torch's own operations, or is to
run them again on other values, only the definition in those operations may run.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch.autograd import forward_ad

Answer = TypeVar("Answer")


def _private(path: str, otherwise: Answer) -> Callable[..., Answer]:
    """A function of torch's by its path below torch._C, or one that answers `otherwise`."""
    found: object = torch._C
    for name in path.split("."):
        found = getattr(found, name, None)
    if not callable(found):
        return lambda *_: otherwise
    own: Callable[..., Answer] = found
    return own


TENSORS = (torch.Tensor, torch.nn.Parameter)
compiling: Callable[[], bool] = torch.compiler.is_compiling
exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", lambda: False)
forked = False  # whether this process is a child that has lost the threads of torch's pool

_transforms = _private("_functorch.peek_interpreter_stack", None)
_modes = _private("_len_torch_dispatch_stack", 0)
_traced = _private("_get_tracing_state", None)
hooks = _private("_autograd._top_saved_tensors_default_hooks", None)  # of saved tensors: checkpointing, offloading
keeps_graph = _private("_autograd._get_current_graph_task_keep_graph", True)  # of the running backward pass
_is_batch = _private("_functorch.is_legacy_batchedtensor", False)


def _after_fork() -> None:
    """Remember that torch's threads have stayed with the parent."""
    global forked  # noqa: PLW0603  # a fact about the process
    forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def watched() -> bool:
    """Whether something has to see torch's operations or will run them on other values.

    torch.compile and torch.export, torch.jit.trace, a transform of torch.func, dual numbers, a dispatch mode (fake
    tensors, make_fx, a counter of operations).
    """
    return (
        compiling()
        or _transforms() is not None
        or _modes() != 0
        or forward_ad._current_level >= 0
        or _traced() is not None
    )


def stands_in(x: torch.Tensor) -> bool:
    """Whether x is of a subclass, which sees what is done with it, or has no values."""
    return type(x) not in TENSORS or x.is_meta


def unwatched_host(x: torch.Tensor) -> bool:
    """Whether x is a plain tensor in the host's memory, of no subclass; see `watched` for the rest."""
    return type(x) in TENSORS and x.is_cpu and x.layout is torch.strided


def traced() -> bool:
    """Whether torch.jit.trace records what is done."""
    return _traced() is not None


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # Dynamo cannot trace the question
def transforming() -> bool:
    """Whether a transform of torch.func or dual numbers run; also inside of a graph that torch.compile makes."""
    return _transforms() is not None or forward_ad._current_level >= 0


def batched(g: torch.Tensor) -> bool:
    """Whether a cotangent is seen through vmap, torch.func's or autograd's own for batches of cotangents."""
    return type(g) not in TENSORS or bool(_is_batch(g)) or _transforms() is not None


_NOTHING: contextlib.AbstractContextManager[None] = contextlib.nullcontext()


def alone() -> contextlib.AbstractContextManager[None]:
    """In a forked child torch's operations on this thread alone: its pool has stayed with the parent."""
    if _traced() is not None:
        return _quiet_trace()
    return _one_thread() if forked else _NOTHING


@contextlib.contextmanager
def _quiet_trace() -> Iterator[None]:
    """torch.jit.trace warns of every shape that Python looks at; here shapes say which call it is, values never do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit._trace.TracerWarning)
        yield


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread inside, the caller's number again afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def group_store() -> object | None:
    """The key-value store that the process group was made with; None where torch hides it."""
    from torch.distributed import distributed_c10d

    find = getattr(distributed_c10d, "_get_default_store", None)
    return None if find is None else find()


def outside_of_transforms() -> contextlib.AbstractContextManager[object]:
    """No transform of torch.func inside: of a batched backward pass the cotangents alone are batched."""
    try:
        from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
    except ImportError:  # pragma: no cover - another torch
        return contextlib.nullcontext()
    return temporarily_clear_interpreter_stack()
