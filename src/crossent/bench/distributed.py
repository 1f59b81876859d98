"""The loss of classes sharded over processes (gloo), beside torch's loss_parallel: `crossent bench distributed`.

Both have the same shards in the same processes, and are timed in turn, forward and backward, from barrier to barrier.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn

import crossent

from . import machine

LOOKED_AT = 32  # rows that are held against float64
WARM = 2


class Work(NamedTuple):
    """What is measured, and where the first process writes its times."""

    rows: int
    classes: int
    runs: int
    folder: str


def measure(processes: int, work: Work) -> dict[str, Any]:
    """The times of both in processes of their own, and how far each is from float64."""
    spawn(_process, (processes, work), nprocs=processes)  # type: ignore[no-untyped-call]  # torch's own
    told: dict[str, Any] = json.loads(Path(work.folder, "times.json").read_text())
    return told


def _process(rank: int, world: int, work: Work) -> None:
    """One process: its share of the cores, its share of the classes."""
    torch.set_num_threads(max(1, torch.get_num_threads() // world))
    store = f"file://{work.folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    first, last = (work.classes * k // world for k in (rank, rank + 1))
    x = 3 * torch.randn(work.rows, last - first, generator=torch.Generator().manual_seed(rank))
    y = torch.randint(0, work.classes, (work.rows,), generator=torch.Generator().manual_seed(world))
    steps = {"crossent": _crossent(x, y), "torch": _torch(x, y, world)}
    faults = _faults(x, y)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(work.runs + WARM):
        for name, step in steps.items():
            distributed.barrier()
            started = time.perf_counter()
            step()
            distributed.barrier()
            times[name].append(time.perf_counter() - started)
    if rank == 0:
        kept = {name: seconds[WARM:] for name, seconds in times.items()}
        told = {"processes": world, "seconds": kept, "relative errors": faults}
        Path(work.folder, "times.json").write_text(json.dumps(told))
    distributed.barrier()
    distributed.destroy_process_group()


def _crossent(x: Tensor, y: Tensor) -> Callable[[], object]:
    """Forward and backward of crossent's."""
    x = x.clone().requires_grad_()

    def step() -> None:
        x.grad = None
        crossent.distributed.vocab_parallel_cross_entropy(x, y).backward()  # type: ignore[no-untyped-call]  # torch's own

    return step


def _torch(x: Tensor, y: Tensor, world: int) -> Callable[[], object]:
    """Forward and backward of torch's."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard
    from torch.distributed.tensor.parallel import loss_parallel

    mesh = init_device_mesh("cpu", (world,))
    placed = DTensor.from_local(x.clone(), mesh, [Shard(1)], run_check=False).requires_grad_()

    def step() -> None:
        placed.grad = None
        with loss_parallel():
            torch.nn.functional.cross_entropy(placed, y).backward()  # type: ignore[no-untyped-call]  # torch's own

    return step


def _faults(x: Tensor, y: Tensor) -> dict[str, float]:
    """The largest relative error of the losses of some rows."""
    few, labels = x[:LOOKED_AT], y[:LOOKED_AT]
    shards: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(shards, few)
    expected = crossent.cross_entropy(torch.cat(shards, dim=1).double(), labels, reduction="none")
    got = crossent.distributed.vocab_parallel_cross_entropy(few, labels, reduction="none")
    return {"crossent": float(((got.double() - expected) / expected).abs().max())}


def lines(told: dict[str, Any]) -> list[str]:
    """The rows of the table for one number of processes."""
    seconds, world = told["seconds"], told["processes"]
    ratios = [b / a for a, b in zip(seconds["crossent"], seconds["torch"], strict=True)]
    low, middle, high = _quartiles(ratios)
    times = {name: f"{1e3 * statistics.median(found):10.1f} ms" for name, found in seconds.items()}
    error = told["relative errors"]["crossent"]
    return [
        f"{world} processes",
        f"  crossent            {times['crossent']}    {error:.1e} from float64",
        f"  torch loss_parallel {times['torch']}    {middle:.1f} × crossent's time ({low:.1f} – {high:.1f}), goal 3",
    ]


def _quartiles(ratios: list[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    if len(ratios) < 2:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return low, middle, high


@click.command("distributed")
@click.option("--processes", type=click.IntRange(1), multiple=True, default=(2, 4), help="How many; may be repeated.")
@click.option("--rows", type=click.IntRange(1), default=2048, show_default=True, help="Rows of logits.")
@click.option("--classes", type=click.IntRange(2), default=32000, show_default=True, help="Classes in all.")
@click.option("--runs", type=click.IntRange(1), default=10, show_default=True, help="Rounds.")
@click.option("--quick", is_flag=True, help="An eighth of the rows, two rounds: shows that it runs.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write all figures."
)
def command(
    processes: tuple[int, ...], rows: int, classes: int, runs: int, quick: bool, json_file: Path | None
) -> None:
    """The loss of classes sharded over processes (gloo), forward and backward, beside torch's loss_parallel."""
    if classes < max(processes):
        raise click.UsageError(f"--classes {classes} for {max(processes)} processes: expected one class each at least")
    rows, runs = (max(1, rows // 8), 2) if quick else (rows, runs)
    about = machine.describe(torch.get_num_threads())
    for line in machine.lines(about):
        click.echo(line)
    click.echo(f"\nvocab_parallel_cross_entropy float32 {rows}×{classes}, forward + backward, medians of {runs}")
    results = []
    for number in processes:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(number, Work(rows, classes, runs, folder)))
        for line in lines(results[-1]):
            click.echo(line)
    if json_file is not None:
        content = {"suite": "distributed", "machine": about, "rows": rows, "classes": classes, "results": results}
        json_file.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")
