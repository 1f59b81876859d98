"""Files of the user: replaced whole or not at all, devices and pipes written to, links followed; locks."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["LockedError", "expanded", "lock", "put", "regular_file", "sync_folder", "write"]

DESCRIPTOR = re.compile(r"/(?:dev/fd|proc/self/fd)/(\d+)")
STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
MOST_LINKS = 40  # as many as Linux follows


class LockedError(OSError):
    """Another process holds the file."""


def write(path: Path | str, content: bytes) -> None:
    """Write to what a path names: a device, a pipe or /dev/stdout is written to, a link is followed.

    A regular file gets the content whole or keeps the old one, whatever ends the process, and keeps its permissions.
    Folders that are missing are made.

    Raises:
        OSError: it cannot be written; `filename` is the path.
    """
    try:
        stream = _stream(Path(path))
        if stream is not None:
            with contextlib.closing(os.fdopen(stream, "wb", buffering=0)) as file:
                _write_all(file.fileno(), content)
        else:
            _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), os.fspath(path)) from error
    except ValueError as error:  # a path that no system takes
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from error


def put(path: Path, content: bytes) -> None:
    """Write a new file and wait until the disk has it; whatever was at the path before is gone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's names; where the system knows no such thing, do nothing."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # network file systems without it
            raise
    finally:
        os.close(descriptor)


def expanded(path: str) -> Path:
    """The path with ~ as the home folder; as it is, where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def regular_file(path: Path) -> int:
    """Give the size of a file that can be read to its end.

    Raises:
        OSError: it is missing, a folder, or a device, pipe or socket, which may never end.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(status.st_mode):
        kind = "a pipe" if stat.S_ISFIFO(status.st_mode) else "a device or a socket"
        raise OSError(errno.EINVAL, f"it is {kind}, not a file; save what it gives into a file first", str(path))
    return status.st_size


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock file; it goes with the holder, and one that a dead process has left is taken over.

    Raises:
        LockedError: another process, or another holder in this one, has it.
        OSError: it cannot be made.
    """
    descriptor = _locked(path)
    try:
        yield
    finally:
        if sys.platform == "win32":
            os.close(descriptor)
        with contextlib.suppress(OSError):
            path.unlink()
        if sys.platform != "win32":
            os.close(descriptor)


def _locked(path: Path) -> int:
    """A descriptor of the lock file that is still the one at the path once it is held."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            _take(descriptor)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder has removed it meanwhile


def _take(descriptor: int) -> None:
    """Lock a file, or raise a LockedError; a file system without locks is taken at its word."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise LockedError(errno.EAGAIN, "another process holds it") from error
        return
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            raise LockedError(errno.EAGAIN, "another process holds it") from error
        if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}:
            raise


def _stream(path: Path) -> int | None:
    """A descriptor to write to, where the path names a stream and not a file to be replaced."""
    number = _descriptor(path)
    if number is not None:
        sys.stdout.flush()
        return os.dup(number)
    try:
        status = path.stat()
    except OSError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        return os.open(path, os.O_WRONLY)
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return None


def _descriptor(path: Path) -> int | None:
    """The open descriptor that a path names, itself or by links: 1 for /dev/stdout."""
    for _ in range(MOST_LINKS):
        named = DESCRIPTOR.fullmatch(str(path))
        if named or str(path) in STREAMS:
            return int(named[1]) if named else STREAMS[str(path)]
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


def _replace(path: Path, content: bytes) -> None:
    """Write beside a file, wait for the disk, and rename; the old file's permissions and, where allowed, owner stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_stale(path)
    temporary, descriptor = _temporary(path)
    with contextlib.ExitStack() as held:
        held.callback(_discard, temporary)
        held.callback(os.close, descriptor)
        _write_all(descriptor, content)
        _like(path, descriptor)
        os.fsync(descriptor)
        if sys.platform == "win32":  # where an open file cannot be renamed
            held.pop_all()
            os.close(descriptor)
        temporary.replace(path)
    sync_folder(path.parent)


def _discard(path: Path) -> None:
    """Remove a temporary file, if it is still there and if that can be done."""
    with contextlib.suppress(OSError):
        path.unlink()


def _temporary(path: Path) -> tuple[Path, int]:
    """A new file beside a path, locked, so that others can tell it from one that a dead process has left."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_prefix(path), suffix=".part", dir=path.parent)
        try:
            _take(descriptor)
            if Path(name).exists():
                return Path(name), descriptor
        except LockedError:
            pass  # one that clears up has looked at it before it was locked
        os.close(descriptor)


def _clear_stale(path: Path) -> None:
    """Remove what writers of this file have left that were killed: nobody holds its lock."""
    for stale in path.parent.glob(f"{glob.escape(_prefix(path))}*.part"):
        with contextlib.suppress(OSError), lock(stale):
            pass


def _prefix(path: Path) -> str:
    """How a temporary file's name begins; a long name is cut, as a file's name has at most 255 bytes."""
    return f".{os.fsdecode(os.fsencode(path.name)[:200])}.crossent-"


def _like(path: Path, descriptor: int) -> None:
    """Give a file the permissions and the owner of the one that it will replace; a new one gets the usual ones."""
    if sys.platform == "win32":
        return
    try:
        old = path.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, 0o666 & ~_umask())
        return
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    with contextlib.suppress(PermissionError):
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _umask() -> int:
    """The permissions that new files are not to have; the system tells them only when they are set."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _write_all(descriptor: int, content: bytes) -> None:
    """Write every byte; the system may take fewer at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
