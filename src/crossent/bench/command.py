"""The command `crossent bench`."""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from crossent.errors import MissingDependencyError

__all__ = ["bench"]

Command = TypeVar("Command", bound=Callable[..., Any])
HELP = {
    "cpu": "Losses of large batches, forward and backward: memory decides.",
    "softmax": "softmax, log_softmax and logsumexp of NumPy arrays and torch tensors.",
    "small": "Losses of small batches, functions and modules: the cost of a call decides.",
    "memory": "Peak memory beyond the inputs, each case in a process of its own.",
    "linear": "A linear layer with its cross-entropy: time against its matrix products, and peak memory.",
}
GPU_SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu.py"
NO_GPU_SUITE = "the benchmark of GPUs is not in this build of crossent"


@click.group(epilog="Example: crossent bench cpu --only bfloat16 --json cpu.json --plot cpu.png")
def bench() -> None:
    """Time crossent on this machine against every peer that is installed.

    crossent and its peers compute each case on the same input, in turn, in one process. The table has the median of the
    ratios of neighbouring runs with its quartiles, the floor (a copy of the logits, one read of them, or the matrix
    products alone) and the project's goal where there is one. Memory is allocated and freed within the timing; what is
    compiled is compiled before it. A result that differs from float64 by more than its dtype allows gets no time.
    """


def _options(command: Command) -> Command:
    """The options that all suites have."""
    file = click.Path(dir_okay=False, path_type=Path)
    for option in reversed(
        [
            click.option("--only", metavar="PATTERN", help="The cases whose name has this text, or matches it (*, ?)."),
            click.option("--quick", is_flag=True, help="An eighth of the rows, little time: shows that it runs."),
            click.option("--runs", type=click.IntRange(1), metavar="N", help="Rounds. Default: by the time they take."),
            click.option(
                "--threads", type=click.IntRange(1), metavar="N", help="For crossent and torch. Default: torch's."
            ),
            click.option("--json", "json_file", type=file, metavar="FILE", help="Write all figures to a file."),
            click.option(
                "--plot", "plot_file", type=file, metavar="FILE.png", help="Draw them over the size, log-log."
            ),
            click.option("--shrink", type=click.IntRange(1), default=1, hidden=True, help="Divide the rows by this."),
        ]
    ):
        command = option(command)
    return command


def _suite(name: str) -> None:
    """Add the command of a suite."""

    @bench.command(name, help=HELP[name])
    @_options
    def command(**options: Any) -> None:
        _require("tqdm", *(["matplotlib"] if options["plot_file"] else []))
        from .suite import Options, run_suite

        run_suite(name, Options(**options), shlex.join(["crossent", *sys.argv[1:]]))


for suite in HELP:
    _suite(suite)


@bench.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def distributed(arguments: tuple[str, ...]) -> None:
    """Classes sharded over processes, against torch's loss_parallel (`crossent bench distributed --help`)."""
    _require("torch")
    from .distributed import command

    command.main([*arguments], prog_name="crossent bench distributed", standalone_mode=False)


@bench.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def gpu(arguments: tuple[str, ...]) -> None:
    """The kernels on a GPU, against torch and what else is installed (`crossent bench gpu --help`)."""
    main = _gpu_suite()
    if not {"-h", "--help"}.intersection(arguments) and not _has_gpu():
        raise MissingDependencyError(
            "crossent bench gpu needs a GPU that torch can use; crossent info lists the devices"
        )
    sys.argv = ["crossent bench gpu", *arguments]
    main()


def _gpu_suite() -> Callable[[], object]:
    """The main function of crossent.bench.gpu, or of benchmarks/gpu.py beside the source; it reads sys.argv."""
    if importlib.util.find_spec("crossent.bench.gpu") is not None:
        main: Callable[[], object] = importlib.import_module("crossent.bench.gpu").main
        return main
    if GPU_SCRIPT.is_file():
        script: Callable[[], object] = runpy.run_path(str(GPU_SCRIPT))["main"]
        return script
    raise MissingDependencyError(NO_GPU_SUITE)


def _has_gpu() -> bool:
    """Whether torch is there and sees a GPU."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _require(*libraries: str) -> None:
    """Say in one line what to install, before anything is measured."""
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(f"crossent bench needs {', '.join(missing)}: install the extra crossent[train]")
