"""The command line: `crossent COMMAND …`. Each command lives with its subject and is imported when it is called."""

from __future__ import annotations

import importlib
import sys

from .errors import CrossentError

try:
    import click
except ImportError:  # pragma: no cover - the base install has no command line
    sys.exit("crossent's command line needs click: pip install click")

__all__ = ["main"]

COMMANDS = {
    "tour": "crossent.tour.command",
    "train": "crossent.classify.commands",
    "predict": "crossent.classify.commands",
    "bench": "crossent.bench.command",
    "check": "crossent.checks.command",
    "info": "crossent._info",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; a CrossentError is one line and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; its function has the command's name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what the user did wrong is said in one line."""
        try:
            return super().invoke(ctx)
        except CrossentError as error:
            click.echo(f"crossent: {error}", err=True)
            ctx.exit(2)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="crossent")
def main() -> None:
    """Softmax and cross-entropy: see them (tour), train, predict, time (bench), find mistakes (check)."""
