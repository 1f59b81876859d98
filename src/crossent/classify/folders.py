"""A folder whose files change all at once: written beside, committed by one rename, then put in place.

New files are written into NEXT and reach the disk there. Renaming NEXT to COMMIT commits them: from then on they are
the folder's files, although they still lie in COMMIT, and `where` finds them there. Then they are moved up, the last
name last, and COMMIT goes. Whoever holds the folder next finishes what a dead process has begun, and clears the rest.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossent._system import files
from crossent.errors import RunFolderError

__all__ = ["OURS", "SafeFolder"]

LOCK, NEXT, COMMIT = ".crossent.lock", ".crossent.next", ".crossent.commit"
OURS = frozenset({LOCK, NEXT, COMMIT})


@dataclass(frozen=True)
class SafeFolder:
    """A folder with files of its own; what else lies in it stays.

    Args:
        path: of the folder.
        names: the files that a commit replaces, the one whose move ends it last.
        obsolete: the files that a commit removes.
    """

    path: Path
    names: Sequence[str]
    obsolete: Sequence[str] = ()

    def where(self, name: str) -> Path:
        """The path at which a file lies now."""
        committed = self.path / COMMIT / name
        return committed if committed.exists() else self.path / name

    @property
    def is_pending(self) -> bool:
        """Whether files are committed that are not yet in place."""
        return (self.path / COMMIT / self.names[-1]).exists()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Make the folder where it is missing and be its only writer; a folder made in vain goes again.

        Raises:
            RunFolderError: another process holds it, or it cannot be written.
        """
        made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            with contextlib.ExitStack() as held:
                with self._errors():
                    self.path.mkdir(parents=True, exist_ok=True)
                    held.enter_context(files.lock(self.path / LOCK))
                    self._clear()
                    self._put_in_place()
                try:
                    yield
                finally:
                    with contextlib.suppress(OSError):
                        self._clear()
        finally:
            for path in made:
                with contextlib.suppress(OSError):
                    path.rmdir()

    def put(self, name: str, content: bytes) -> None:
        """Write one file of the held folder, whole or not at all.

        Raises:
            RunFolderError: it cannot be written.
        """
        with self._errors():
            self._stage({name: content})
            (self.path / NEXT / name).replace(self.path / name)
            files.sync_folder(self.path)

    def commit(self, contents: Mapping[str, bytes]) -> None:
        """Replace all of the held folder's files at once.

        Raises:
            RunFolderError: they cannot be written; the message says so if they are committed nevertheless.
        """
        with self._errors():
            self._stage(contents)
            (self.path / NEXT).replace(self.path / COMMIT)
        try:
            files.sync_folder(self.path)
            self._put_in_place()
        except OSError as error:
            raise RunFolderError(
                f"{self.path} has the whole run, but its files could not be put in place: {error.strerror or error}; "
                "predict reads it as it is, and the next `crossent train` into it tidies up"
            ) from error

    def _stage(self, contents: Mapping[str, bytes]) -> None:
        """Write files into NEXT and wait until the disk has them."""
        self._clear()
        (self.path / NEXT).mkdir()
        for name, content in contents.items():
            files.put(self.path / NEXT / name, content)
        files.sync_folder(self.path / NEXT)

    def _put_in_place(self) -> None:
        """Move what is committed to where it belongs; done again after a crash, it goes on where that one stopped."""
        committed, *first, last = (self.path / COMMIT, *self.names)
        if not committed.is_dir() or committed.is_symlink():
            return
        if self.is_pending:
            for name in first:
                if (committed / name).exists():
                    (committed / name).replace(self.path / name)
            for name in self.obsolete:
                (self.path / name).unlink(missing_ok=True)
            files.sync_folder(self.path)
            (committed / last).replace(self.path / last)
            files.sync_folder(self.path)
        shutil.rmtree(committed)

    def _clear(self) -> None:
        """Remove what was written but not committed."""
        staged = self.path / NEXT
        if staged.is_symlink():
            staged.unlink()
        elif staged.exists():
            shutil.rmtree(staged)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """What the system says about the folder, in one sentence."""
        try:
            yield
        except files.LockedError as error:
            raise RunFolderError(
                f"{self.path} is in use: another process trains into it; wait for it, or choose another folder with "
                "--out"
            ) from error
        except (OSError, ValueError) as error:  # a path that no system takes is a ValueError
            reason = getattr(error, "strerror", None) or error
            raise RunFolderError(f"{self.path} cannot be written: {reason}") from error
