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
    "jax": "Losses under jax.jit beside optax: time, and the temporaries of what XLA has compiled.",
}
GPU_SCRIPTS = Path(__file__).parents[3] / "benchmarks"
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
        if name == "jax":
            _require("jax", extra="jax")
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


def _of_gpu(name: str, script: str, text: str) -> None:
    """Add a command that runs one of the scripts for a GPU, with the arguments that the script takes."""

    @bench.command(name, help=text, context_settings={"ignore_unknown_options": True, "help_option_names": []})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        main = _gpu_suite(script)
        if not {"-h", "--help"}.intersection(arguments) and not _has_gpu():
            raise MissingDependencyError(
                f"crossent bench {name} needs a GPU that torch can use; crossent info lists the devices"
            )
        sys.argv = [f"crossent bench {name}", *arguments]
        sys.exit(main())


GPU_HELP = "The kernels on a GPU, against torch and what else is installed (`crossent bench gpu --help`)."
LINEAR_HELP = "A linear layer and its loss on a GPU, beside its three products (`crossent bench gpu-linear --help`)."
_of_gpu("gpu", "gpu", GPU_HELP)
_of_gpu("gpu-linear", "gpu_linear", LINEAR_HELP)


def _gpu_suite(script: str) -> Callable[[], int]:
    """The main function of crossent.bench.<script>, or of benchmarks/<script>.py; it reads sys.argv."""
    if importlib.util.find_spec(f"crossent.bench.{script}") is not None:
        main: Callable[[], int] = importlib.import_module(f"crossent.bench.{script}").main
        return main
    path = GPU_SCRIPTS / f"{script}.py"
    if path.is_file():
        found: Callable[[], int] = runpy.run_path(str(path))["main"]
        return found
    raise MissingDependencyError(NO_GPU_SUITE)


def _has_gpu() -> bool:
    """Whether torch is there and sees a GPU."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _require(*libraries: str, extra: str = "train") -> None:
    """Say in one line what to install, before anything is measured."""
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(f"crossent bench needs {', '.join(missing)}: install the extra crossent[{extra}]")
