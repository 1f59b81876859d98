"""Run folders: what is in one, how it is written (whole or not at all) and how it is read back (checked, no pickle)."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from crossent.errors import CrossentError, RunFolderError

from . import preprocessing
from .calibration import apply_temperature
from .sources import one_line

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer

    from .training import Trainer

__all__ = ["Run", "claim", "load", "load_checkpoint", "load_settings", "save", "save_checkpoint", "write_whole"]

SETTINGS, METRICS, REPORT = "run.json", "metrics.json", "report.html"
WEIGHTS, PREPROCESSING, CHECKPOINT = "weights.safetensors", "preprocessing.skops", "checkpoint.safetensors"
PREDICTIONS = "held_out_predictions.csv"
FILES = (SETTINGS, METRICS, REPORT, WEIGHTS, PREPROCESSING, CHECKPOINT, PREDICTIONS)
FORMAT = "crossent run 1"
SETTINGS_KINDS: dict[str, type] = {
    "status": str,
    "command": str,
    "arguments": dict,
    "options": dict,
    "target": str,
    "classes": list,
    "inputs": int,
    "fingerprint": str,
}

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Run:
    """A trained classifier as its run folder describes it."""

    settings: dict[str, Any]
    metrics: dict[str, Any]
    trainer: Trainer
    transformer: ColumnTransformer

    @property
    def classes(self) -> list[str]:
        """The name of each class."""
        return list(self.settings["classes"])

    def probabilities(self, features: pd.DataFrame, calibrated: bool = True) -> npt.NDArray[np.float64]:
        """Each row's probabilities, one column a class; calibrated by the temperature found on held-out rows."""
        logits = self.trainer.logits(preprocessing.transform(self.transformer, features))
        return apply_temperature(logits, self.metrics["temperature"] if calibrated else 1.0)


def claim(folder: Path, overwrite: bool) -> None:
    """Check that a new run may be written here; nothing is written or removed yet.

    Raises:
        RunFolderError: there is something already; with `overwrite`, something that is not a run.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is a file; --out names a folder")
    found = {path.name for path in folder.iterdir()}
    if found and not overwrite:
        hint = "--resume goes on with it, " if SETTINGS in found and CHECKPOINT in found else ""
        raise RunFolderError(f"{folder} exists already; {hint}--overwrite replaces it, --out chooses another folder")
    if found and not found & {SETTINGS, *FILES}:
        raise RunFolderError(f"{folder} is not a run folder and will not be overwritten; choose another with --out")


def save_checkpoint(folder: Path, settings: dict[str, Any], state: dict[str, Any], *, fresh: bool) -> None:
    """Write what `load_checkpoint` needs to go on; a `fresh` run takes the place of an older one.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    from safetensors.torch import save as serialise

    if fresh:
        _clear(folder)
    write_whole(folder / CHECKPOINT, serialise(state["tensors"], metadata={"state": json.dumps(state["values"])}))
    write_whole(folder / SETTINGS, _json({**settings, "format": FORMAT, "status": "interrupted"}))


def load_checkpoint(folder: Path) -> Trainer:
    """Read the trainer that goes on from the last finished epoch.

    Raises:
        RunFolderError: there is no checkpoint, or it is damaged.
    """
    from safetensors import safe_open

    from .training import Trainer

    path = _existing(folder, CHECKPOINT)
    with _damage(path), safe_open(path, framework="pt") as file:
        values = json.loads((file.metadata() or {})["state"])
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        return Trainer.from_state_dict({"tensors": tensors, "values": values})


def save(
    folder: Path,
    settings: dict[str, Any],
    *,
    trainer: Trainer,
    transformer: ColumnTransformer,
    metrics: dict[str, Any],
    texts: dict[str, str],
) -> None:
    """Write a finished run; run.json comes last, so that a folder that has it is complete.

    Args:
        folder: made where it is missing; an older run in it is replaced.
        settings: what was run.
        trainer: whose predicting network is stored.
        transformer: the fitted preprocessing.
        metrics: what came out.
        texts: further files, by name: the report and the held-out predictions.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    import skops.io
    from safetensors.torch import save as serialise

    network = {name: tensor.detach().cpu().contiguous() for name, tensor in trainer.model.state_dict().items()}
    contents = {
        WEIGHTS: serialise(network, metadata={"format": "pt"}),
        PREPROCESSING: skops.io.dumps(transformer),
        METRICS: _json(metrics),
        **{name: text.encode() for name, text in texts.items()},
        SETTINGS: _json({**settings, "format": FORMAT, "status": "finished"}),
    }
    _clear(folder)
    for name, content in contents.items():
        write_whole(folder / name, content)


def load_settings(folder: Path) -> dict[str, Any]:
    """Read what was run: run.json.

    Raises:
        RunFolderError: not a run folder, or one of another version.
    """
    if not folder.is_dir():
        raise RunFolderError(f"no run folder at {folder}; `crossent train` makes one")
    settings = _read_json(_existing(folder, SETTINGS))
    if settings.get("format") != FORMAT:
        raise RunFolderError(f"{folder / SETTINGS} is not of the format {FORMAT!r} but {settings.get('format')!r}")
    for key, kind in SETTINGS_KINDS.items():
        _entry(folder / SETTINGS, settings, key, kind)
    return settings


def load(folder: Path) -> Run:
    """Load a finished run.

    Raises:
        RunFolderError: not a run folder, an unfinished one, or a damaged one; the message names the file.
    """
    from safetensors.torch import load_file

    from .training import Trainer, TrainingOptions

    settings = load_settings(folder)
    if settings["status"] != "finished":
        raise RunFolderError(f"{folder} was interrupted; finish it: crossent train --resume --out {folder}")
    metrics = _read_json(_existing(folder, METRICS))
    temperature = _entry(folder / METRICS, metrics, "temperature", float)
    if not 0 < temperature < float("inf"):
        raise RunFolderError(f"{folder / METRICS} is damaged: its temperature is {temperature}")
    transformer = preprocessing.load(_existing(folder, PREPROCESSING))
    weights = _existing(folder, WEIGHTS)
    with _damage(weights):
        options = TrainingOptions(**{**settings["options"], "device": "cpu"})
        trainer = Trainer(options, settings["inputs"], len(settings["classes"]))
        trainer.model.load_state_dict(load_file(weights))
    return Run(settings, metrics, trainer, transformer)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: under a temporary name beside it, then renamed.

    Raises:
        RunFolderError: it cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    """The permissions that new files are not to have; the system tells them only when they are set."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _clear(folder: Path) -> None:
    """Remove an older run's files, run.json first so that what is left is no run; other files stay."""
    try:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be written: {error.strerror or error}") from error


def _json(content: dict[str, Any]) -> bytes:
    """Readable JSON, UTF-8; a NaN would not be JSON and is refused."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object."""
    with _damage(path):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: it holds no JSON object")
    return content


def _entry(path: Path, content: dict[str, Any], key: str, kind: type[Kind]) -> Kind:
    """One entry of a JSON file, of the kind it must be."""
    value = content.get(key)
    if not isinstance(value, kind):
        raise RunFolderError(f"{path} is damaged: its {key!r} is {value!r}")
    return value


def _existing(folder: Path, name: str) -> Path:
    """The path of a file that a run folder must have."""
    if not (folder / name).is_file():
        raise RunFolderError(f"{folder} is not a complete run folder: it has no {name}")
    return folder / name


@contextlib.contextmanager
def _damage(path: Path) -> Any:
    """Whatever goes wrong while a file is read becomes one sentence that names it."""
    try:
        yield
    except CrossentError as error:
        raise RunFolderError(f"{path} does not fit its run: {error}") from error
    except Exception as error:  # readers of JSON, UTF-8 and tensors each have their own
        raise RunFolderError(f"{path} is damaged: {one_line(error)}") from error
