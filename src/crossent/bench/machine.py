"""The machine of a run: processor, threads, versions; a ratio means little without them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .peers import is_installed, missing

__all__ = ["Others", "describe", "lines", "set_threads"]

LIBRARIES = ("numpy", "torch", "scipy", "scikit-learn", "jax")
WIDEST = {
    "amx_bf16": "AVX-512, AMX",
    "avx512_bf16": "AVX-512, BF16",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "sse4_2": "SSE4.2",
}
CPU_INFO, STAT = Path("/proc/cpuinfo"), Path("/proc/stat")


def set_threads(threads: int | None) -> int:
    """Give torch and crossent so many threads; the number that is used."""
    import crossent

    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        setter = getattr(crossent, "set_num_threads", None)
        if setter is not None:
            setter(threads)
    if not is_installed("torch"):
        return threads or os.cpu_count() or 1
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def describe(threads: int) -> dict[str, Any]:
    """Processor, threads and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("crossent", *LIBRARIES) if is_installed(name)},
        "left_out": missing(),
    }


def lines(machine: dict[str, Any]) -> Iterator[str]:
    """The description as the head of a table."""
    cores = f"{machine['cores']} core" + "s" * (machine["cores"] != 1)
    yield f"{machine['processor']}, {cores}, {machine['threads']} threads, {machine['system']}"
    versions = (f"{name} {version}" for name, version in machine["versions"].items())
    yield f"{', '.join(versions)}, Python {machine['python']}"
    for library, install in machine["left_out"].items():
        yield f"left out: {library}, which is not installed: {install}"


def _processor() -> str:
    """The processor's name, and the widest vectors it has."""
    try:
        text = CPU_INFO.read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = fields.get("flags", "").split()
    widest = next((name for flag, name in WIDEST.items() if flag in flags), "")
    name = fields.get("model name") or platform.machine()
    return f"{name} ({widest})" if widest else name


class Others:
    """The share of the processor that other programs take, from the making of this object on; None where unknown."""

    def __init__(self) -> None:
        self.started, self.before = time.perf_counter(), self._busy()

    def share(self) -> float | None:
        """Seconds that the system was busy and this process was not, over all seconds of all cores."""
        now = self._busy()
        if self.before is None or now is None:
            return None
        elapsed = (time.perf_counter() - self.started) * (os.cpu_count() or 1)
        return min(1.0, max(0.0, (now - self.before) / elapsed))

    @staticmethod
    def _busy() -> float | None:
        """Seconds of user and system time, and those stolen by other virtual machines, that are not this process's."""
        try:
            first = STAT.read_text().splitlines()[0].split()
        except OSError:
            return None
        user, nice, system, _, _, irq, softirq, steal = map(int, first[1:9])
        own = os.times()
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - own.user - own.system
