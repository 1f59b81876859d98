"""What a command says at the end: one line that a terminal can show, and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable

import click

from crossent.errors import CrossentError

__all__ = ["exit_code_of", "one_line", "printable"]

WRONG, INTERRUPTED, PIPE_CLOSED = 2, 130, 1  # 130 = 128 + SIGINT, as shells have it
OF_STREAMS = {errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG}  # without a file's name: what is written is stdout
TRACEBACK = "CROSSENT_TRACEBACK"


def printable(text: str) -> str:
    r"""Escape what a terminal would obey or could not show: control characters, line ends, bytes that are no UTF-8.

    >>> printable("one\ntwo \x1b[31mred")
    'one\\ntwo \\x1b[31mred'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii", "replace") for char in text
    )


def one_line(error: BaseException) -> str:
    """The first line of what a library says, or the error's name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def exit_code_of(run: Callable[[], object]) -> int:
    """Run a command; whatever goes wrong is one line on stderr, and CROSSENT_TRACEBACK=1 shows where it happened."""
    _never_fail_to_encode()
    try:
        code = run()
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        _give_up_stdout()
        return PIPE_CLOSED
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return INTERRUPTED
    except Exception as error:  # the boundary: nothing passes it as a traceback
        if os.environ.get(TRACEBACK):
            _show(traceback.format_exc())
        _say(_sentence(error))
        return WRONG
    return code if type(code) is int else 0


def _sentence(error: Exception) -> str:
    """What an error means to the one who has typed the command."""
    if isinstance(error, CrossentError):
        return str(error)
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "crossent"
        return f"{error.format_message().rstrip('.')} ({path} --help)"
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError):
        return _sentence_of_system(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {one_line(error)}"
    return f"unexpected {type(error).__name__}: {one_line(error)} ({TRACEBACK}=1 shows where)"


def _sentence_of_system(error: OSError) -> str:
    """What the system refused, with the file's name, or that it is standard output."""
    reason = error.strerror or one_line(error)
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason}"
    _give_up_stdout()
    return f"standard output cannot be written: {reason}" if error.errno in OF_STREAMS else reason


def _give_up_stdout() -> None:
    """Where standard output takes no more, let what is left for it go nowhere, so that Python ends in peace."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def _never_fail_to_encode() -> None:
    """Show as an escape what the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # a stream of another kind
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _say(text: str) -> None:
    """One line on stderr."""
    _show(f"crossent: {printable(text)}\n")


def _show(text: str) -> None:
    """Write to stderr; where that is full or closed, there is nobody to tell."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, nl=False, err=True)
