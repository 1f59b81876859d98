"""The command line: `crossent COMMAND …`. Each command lives with its subject and is imported when it is called."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from typing import Any

try:
    import click
except ImportError:  # pragma: no cover - the base install has no command line
    sys.exit("crossent's command line needs click: pip install click")

from ._system.messages import exit_code_of

__all__ = ["main"]

COMMANDS = {
    "tour": "crossent.tour.command",
    "train": "crossent.classify.commands",
    "predict": "crossent.classify.commands",
    "runs": "crossent.classify.comparing",
    "compare": "crossent.classify.comparing",
    "score": "crossent.score.command",
    "bench": "crossent.bench.command",
    "check": "crossent.checks.command",
    "info": "crossent.cli",
}
LIBRARIES = ("numpy", "array-api-compat", "torch", "triton", "jax", "mlx", "cupy", "scikit-learn")
EXTRAS = {"torch": "torch", "triton": "triton", "scikit-learn": "train", "jax": "jax", "mlx": "mlx"}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; what goes wrong is one line and exit code 2."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command line; see click."""
        run = functools.partial(super().main, *args, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        sys.exit(exit_code_of(run))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; its function has the command's name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none of that name, name the nearest."""
        near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}"
            ctx.fail(f"no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; click itself would write an empty line for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="crossent")
def main() -> None:
    """Softmax and cross-entropy: see them (tour), train, predict, score, time (bench), find mistakes (check)."""


def version(library: str) -> str:
    """A library's version, or how to get it."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        extra = EXTRAS.get(library)
        return f"not installed (extra crossent[{extra}])" if extra else "not installed"


@click.command()
def info() -> None:
    """Versions, rooms and devices: what crossent finds on this machine."""
    click.echo(
        f"crossent {version('crossent')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    click.echo("\nlibraries")
    for library in LIBRARIES:
        click.echo(f"  {library:<17} {version(library)}")
    click.echo("\nrooms")
    from .backends.cpu import describe

    click.echo("  agnostic          live: the definition, run by the array library of the input")
    click.echo(f"  cpu               {describe()}")
    triton = "for torch tensors on a GPU" if importlib.util.find_spec("triton") is not None else version("triton")
    click.echo(f"  triton            {triton}")
    if importlib.util.find_spec("torch") is not None:
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        click.echo(f"\ndevices\n  torch             cpu{''.join(f', {name}' for name in names)}")
        click.echo(f"  process group     {_process_group()}")


def _process_group() -> str:
    """Whether a process group of torch is up, and what torchrun has told."""
    from torch import distributed

    if not distributed.is_available():
        return "torch is built without torch.distributed"
    if distributed.is_initialized():
        rank, size = distributed.get_rank(), distributed.get_world_size()
        return f"up: {distributed.get_backend()}, rank {rank} of {size}"
    names = [name for name in ("gloo", "nccl", "mpi") if getattr(distributed, f"is_{name}_available")()]
    told = os.environ.get("RANK")
    started = "" if told is None else f"; torchrun: rank {told} of {os.environ.get('WORLD_SIZE')}"
    return f"none is up (backends: {', '.join(names) or 'none'}){started}"
