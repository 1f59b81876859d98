"""The files of a project: each is read once, and an import is followed to the file that it names."""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from .reading import read
from .sources import Source
from .uses import Uses
from .values import Value

__all__ = ["LIBRARIES", "Module", "Project"]

LIBRARIES = frozenset(
    [
        "torch",
        "torchvision",
        "torchaudio",
        "tensorflow",
        "keras",
        "tf_keras",
        "jax",
        "flax",
        "optax",
        "haiku",
        "numpy",
        "scipy",
        "sklearn",
        "crossent",
        "paddle",
        "mxnet",
        "transformers",
        "pytorch_lightning",
        "lightning",
        "skorch",
        "fastai",
        "cupy",
        "autograd",
        "equinox",
        "functorch",
        "ignite",
        "accelerate",
        "timm",
        "pandas",
        "matplotlib",
        "tqdm",
        "cv2",
        "PIL",
        "datasets",
        "tensorflow_probability",
        "pyro",
        "einops",
        "torchmetrics",
        "monai",
    ]
)
LEVELS_UP = 5


@dataclass(eq=False)
class Module:
    """A file of the project; `names` are its globals once it has been run."""

    source: Source
    number: int
    names: dict[str, Value] = field(default_factory=dict)
    running: bool = False
    ready: bool = False
    worth: set[ast.AST] | None = None  # the functions in it that can matter

    @property
    def path(self) -> str:
        """Where the file lies."""
        return self.source.path


@lru_cache(maxsize=100_000)
def _is_file(path: str) -> bool:
    return os.path.isfile(path)


class Project:
    """Modules by path; attributes of the objects that modules make when they are imported."""

    def __init__(self, uses: Uses | None = None, texts: dict[str, bytes] | None = None) -> None:
        self.modules: dict[str, Module] = {}
        self.heap: dict[object, Value] = {}
        self.loads = 0
        self.uses = uses
        self.touched: set[str] = set()  # files that were read
        self.absent: set[tuple[str, int]] = set()  # imports that name no file of the project
        self.texts = texts or {}  # files that are looked at with another content than the one on the disk

    def module(self, path: str) -> Module:
        """The module of a file, read on first use."""
        path = os.path.normpath(path)
        self.touched.add(path)
        if path not in self.modules:
            self.modules[path] = Module(read(path, self.texts.get(path)), -1 - len(self.modules))
        return self.modules[path]

    @property
    def weight(self) -> int:
        """How many characters have been made into trees."""
        return sum(len(one.source.text) for one in self.modules.values() if "tree" in one.source.__dict__)

    def release(self, path: str) -> None:
        """Let go of the tree of a file that was looked at, unless another one has imported it."""
        module = self.modules.get(os.path.normpath(path))
        if module is not None and not module.ready:
            module.source.__dict__.pop("tree", None)
            module.worth = None
            module.names = {}

    def find(self, name: str, level: int, importer: str) -> Module | None:
        """The module of the project that an import statement names, or None for a library's."""
        path = self.locate(name, level, importer)
        if path is None:
            self.absent.add((name, level))
        return None if path is None else self.module(self.shown(path))

    def locate(self, name: str, level: int, importer: str) -> str | None:
        """The file that an import statement names."""
        parts = name.split(".") if name else []
        folder = os.path.dirname(os.path.abspath(importer))
        if level:
            for _ in range(level - 1):
                folder = os.path.dirname(folder)
            return _file(folder, parts)
        if not parts or parts[0] in LIBRARIES or parts[0] in sys.stdlib_module_names:
            return None
        for _ in range(LEVELS_UP):
            found = _file(folder, parts)
            if found is not None:
                return found
            folder, last = os.path.dirname(folder), folder
            if folder == last or os.path.basename(last) in ("site-packages", "dist-packages"):
                return None
        return None

    @cached_property
    def _here(self) -> str:
        return os.getcwd() + os.sep

    def shown(self, path: str) -> str:
        """The path as the user would write it: relative where it lies below the current folder."""
        return path.removeprefix(self._here)


def _file(folder: str, parts: list[str]) -> str | None:
    """The file of a module of these parts under a folder."""
    base = os.path.join(folder, *parts)
    return next((path for path in (f"{base}.py", os.path.join(base, "__init__.py")) if _is_file(path)), None)
