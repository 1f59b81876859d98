"""`crossent info`: what is installed and which rooms are live."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform

import click

LIBRARIES = ("numpy", "array-api-compat", "torch", "triton", "jax", "cupy", "scikit-learn")
EXTRAS = {"torch": "torch", "triton": "triton", "scikit-learn": "train", "jax": "jax"}


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
