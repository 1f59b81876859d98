"""What the ranks of a group have to agree on before they exchange anything, told through the group's store.

A collective whose ranks bring different sizes aborts the process (gloo) or hangs (NCCL). So a rank whose call differs
from its last one says so in the key-value store and reads what the others say: no collective, and nothing at all while
the calls stay alike. A rank that goes on as before while another has changed finds that out while it waits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import distributed

from .._torch.state import group_store
from ..errors import OptionError, RankError


def collective(*names: str) -> Callable[..., Any]:
    """A collective by its name in this torch, looked up when it is called."""
    name = next(name for name in names if hasattr(distributed, name))

    def call(*given: Any, **named: Any) -> Any:
        return getattr(distributed, name)(*given, **named)

    return call


all_gather = collective("all_gather_single", "all_gather_into_tensor")  # torch 2.13 and before
reduce_scatter = collective("reduce_scatter_single", "reduce_scatter_tensor")
# seconds that others have to answer a rank that refuses its call: those that come later are out of step
PATIENCE = float(os.environ.get("CROSSENT_PATIENCE", "25"))
SECONDS = 1.0  # between two looks at what the others say, while a collective is not through


@dataclasses.dataclass
class State:
    """What a rank remembers of a group: the calls, its last words, what all said then, and what it has sent (empty)."""

    calls: int = 0
    words: str = ""
    told: tuple[dict[str, Any], ...] = ()
    key: str = ""
    sent: torch.Tensor | None = None


_states: weakref.WeakKeyDictionary[Any, State] = weakref.WeakKeyDictionary()


def process_group(function: str, group: Any) -> Any:
    """The group of the call: the default one where none is given."""
    if not distributed.is_available() or not distributed.is_initialized():
        text = f"{function}: no process group is up, over whose ranks the classes are sharded"
        raise OptionError(f"{text}: call torch.distributed.init_process_group, or use crossent.cross_entropy")
    group = distributed.group.WORLD if group is None else group
    if not isinstance(group, distributed.ProcessGroup):
        text = f"{function}: group is a {type(group).__name__}, expected a torch.distributed.ProcessGroup"
        raise OptionError(f"{text} that this rank is in; of a DeviceMesh take mesh.get_group()")
    return group


def _store() -> Any:
    """The store that the process group was made with."""
    store = group_store()
    if store is None:
        text = f"torch {torch.__version__} hides the store of its process groups, through which the ranks agree"
        raise OptionError(f"{text}: use torch 2.10 to 2.14")
    return store


def _key(group: Any, call: int, rank: int) -> str:
    """Where a rank says what its call is."""
    return f"crossent/{group.group_name}/{call}/{rank}"


def agree(group: Any, mine: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """What every rank says of this call; `mine` is published where it differs from the call before."""
    state, words = _states.setdefault(group, State()), json.dumps(mine, sort_keys=True)
    state.calls += 1
    if words == state.words:
        return state.told
    store, own = _store(), _key(group, state.calls, group.rank())
    store.set(own, words)
    state.words = ""
    told = tuple(json.loads(_read(store, group, rank, state.calls)) for rank in range(group.size()))
    if state.key:
        store.delete_key(state.key)  # all have read it: they took part in the exchange that followed
    state.key = own
    _join(group, state, told)
    _same(told)
    state.words, state.told = words, told
    return told


@contextlib.contextmanager
def told(group: Any) -> Iterator[None]:
    """Tell the others, who would wait, where this rank refuses its call."""
    try:
        yield
    except Exception as error:
        _refuse(group, error)
        raise


def _refuse(group: Any, error: Exception) -> None:
    """Say so, and give those who are in the exchange already a moment to answer that they are."""
    state, store = _states.setdefault(group, State()), _store()
    state.calls, state.words = state.calls + 1, ""
    store.set(_key(group, state.calls, group.rank()), json.dumps({"refused": str(error)}))
    keys = [_key(group, state.calls, rank) for rank in range(group.size())]
    try:
        store.wait(keys, datetime.timedelta(seconds=PATIENCE))
    except (RuntimeError, TimeoutError):
        return
    _join(group, state, tuple(json.loads(store.get(key)) for key in keys))


def _join(group: Any, state: State, told: tuple[dict[str, Any], ...]) -> None:
    """Take part, with nothing to say, in the exchange that ranks are in which have gone on as before.

    It would stay open otherwise, and the group could not be used any more.
    """
    if state.sent is not None and any(words.get("late") for words in told):
        mine = torch.zeros_like(state.sent, memory_format=torch.contiguous_format)
        all_gather(mine.new_empty((group.size() * mine.shape[0], *mine.shape[1:])), mine, group=group)


def _read(store: Any, group: Any, rank: int, call: int) -> Any:
    """What another rank says; an error where it says nothing in the group's time."""
    try:
        return store.get(_key(group, call, rank))
    except (RuntimeError, TimeoutError) as error:
        text = f"rank {rank} of the group has not joined call {call} of the vocabulary-parallel loss in time"
        fix = "all ranks have to make the same calls; look at that rank's own error"
        raise RankError(f"{text}: {fix} ({str(error).splitlines()[0]})") from None


def _same(told: tuple[dict[str, Any], ...]) -> None:
    """Raise where a rank has refused its call, or has another one."""
    for rank, words in enumerate(told):
        if "refused" in words:
            raise RankError(f"rank {rank} of the group has refused its call: {words['refused']}")
    for rank, words in enumerate(told):
        for name in sorted(set(words["same"]) | set(told[0]["same"])):
            one, other = (w["same"].get(name) for w in (told[0], words))
            if one != other:
                text = f"the ranks disagree on {name}: {one!r} on rank 0 of the group, {other!r} on rank {rank}"
                raise RankError(f"{text}; give all of them the same rows and options")


def gather(group: Any, mine: torch.Tensor) -> torch.Tensor:
    """(ranks, …) of the group's tensors, in one collective."""
    _states[group].sent = mine.new_empty(()).expand(mine.shape)  # its shape, in the memory of one number
    every = mine.new_empty((group.size() * mine.shape[0], *mine.shape[1:]))
    try:
        work = all_gather(every, mine, group=group, async_op=True)
        if mine.is_cpu:
            _watch(group, work)
        work.wait()
    except RankError:
        raise
    except RuntimeError as error:
        told = _news(group)
        if told:
            _same(told)
        text = "a rank of the group has left the vocabulary-parallel loss"
        raise RankError(f"{text}, look at its own error: {str(error).splitlines()[0]}") from error
    return every.view(group.size(), *mine.shape)


def _watch(group: Any, work: Any) -> None:
    """Wait for the work, and look now and then whether another rank says that its call is a new one."""
    done = threading.Event()
    future = work.get_future().then(lambda _: done.set())
    while not done.wait(SECONDS) and not work.is_completed():
        told = _news(group)
        if told:
            done.wait(PATIENCE)  # until those have taken part who say it
            _same(told)
            raise RankError("a rank of the group has another share of the classes than before, and this rank has not")
    del future


def _news(group: Any) -> tuple[dict[str, Any], ...]:
    """What all say where another rank has a new call and this rank goes on as before, which it then says as well."""
    state, store = _states[group], _store()
    keys = [_key(group, state.calls, rank) for rank in range(group.size())]
    if not state.words or state.key == keys[group.rank()]:
        return ()  # all have said what this call is
    new = {rank: json.loads(store.get(key)) for rank, key in enumerate(keys) if store.check([key])}
    if not new:
        return ()
    store.set(keys[group.rank()], json.dumps({**json.loads(state.words), "late": True}))
    state.words = ""
    return tuple(new.get(rank, words) for rank, words in enumerate(state.told))
