"""What was found before: kept beside the user's other caches, valid as long as no file that was read has changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .finding import Finding
from .settings import Settings
from .source.project import Project

__all__ = ["Cache", "Entry"]


@dataclass
class Entry:
    """What was found in a file, the files that were read for it, and the imports that named none."""

    findings: list[Finding]
    remarks: list[str]
    touched: list[str]
    absent: list[tuple[str, int]]


def folder() -> Path:
    """Where it is kept: XDG_CACHE_HOME, or what the system uses instead."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home())
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "crossent" / "check"


class Cache:
    """Entries by file and settings; whatever is wrong with one, the file is looked at again."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.folder = folder()
        self.version = _version()

    def _path(self, path: str, settings: Settings) -> Path:
        key = repr((self.version, str(Path.cwd()), str(Path(path).absolute()), path, settings))
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.json"

    def get(self, path: str, settings: Settings) -> Entry | None:
        """What was found, if nothing has changed since."""
        if not self.enabled:
            return None
        try:
            content: Any = json.loads(self._path(path, settings).read_text(encoding="utf-8"))
            if any(_stamp(one) != stamp for one, stamp in content["touched"].items()):
                return None
            project = Project()
            if any(project.locate(name, level, path) is not None for name, level in content["absent"]):
                return None
            findings = [Finding(**{**row, "also": tuple(row["also"])}) for row in content["findings"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return Entry(findings, content["remarks"], [], [])

    def put(self, path: str, settings: Settings, entry: Entry) -> None:
        """Keep what was found; a cache that cannot be written is none."""
        if not self.enabled:
            return
        content = {
            "touched": {one: _stamp(one) for one in {*entry.touched, path}},
            "absent": entry.absent,
            "findings": [asdict(finding) for finding in entry.findings],
            "remarks": entry.remarks,
        }
        target = self._path(path, settings)
        with contextlib.suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_suffix(f".{os.getpid()}")
            beside.write_text(json.dumps(content), encoding="utf-8")
            beside.replace(target)


def _stamp(path: str) -> list[int] | None:
    """A file's time and size."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size]


def _version() -> str:
    """The linter's own version: the newest of its files, how large all are together, and the Python that parses."""
    files = [file.stat() for file in Path(__file__).parent.rglob("*.py")]
    newest = max((one.st_mtime_ns for one in files), default=0)
    return f"{newest} {sum(one.st_size for one in files)} {sys.version_info[:2]}"
