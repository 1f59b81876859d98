"""Run folders: what is in one, how it is written (whole or not at all) and how it is read back (checked, no pickle)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crossent._system import files
from crossent.errors import OptionError, RunFolderError

from . import folders, preprocessing, stored
from .calibration import apply_temperature
from .folders import SafeFolder
from .trusted import load_transformer

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer

    from .training import Trainer

__all__ = [
    "Run",
    "claim",
    "hold",
    "is_interrupted",
    "load",
    "load_checkpoint",
    "load_checkpoint_settings",
    "load_settings",
    "save",
    "save_checkpoint",
    "write_whole",
]

SETTINGS, METRICS, REPORT = "run.json", "metrics.json", "report.html"
WEIGHTS, PREPROCESSING, CHECKPOINT = "weights.safetensors", "preprocessing.skops", "checkpoint.safetensors"
PREDICTIONS = "held_out_predictions.csv"
FINISHED = (METRICS, REPORT, WEIGHTS, PREPROCESSING, PREDICTIONS, SETTINGS)  # each finished run has all of them
FILES = (*FINISHED, CHECKPOINT)
ATTEMPTS = 5  # to read a run while it is replaced


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
    with _unreadable(folder):
        if not folder.exists():
            return
        if not folder.is_dir():
            raise RunFolderError(f"{folder} is a file; --out names a folder")
        found = {path.name for path in folder.iterdir()} - {folders.LOCK, folders.NEXT}
    if found and not overwrite:
        hint = "--resume goes on with it, " if is_interrupted(folder) else ""
        raise RunFolderError(f"{folder} exists already; {hint}--overwrite replaces it, --out chooses another folder")
    if found and not _is_run(folder):
        raise RunFolderError(f"{folder} is not a run folder and will not be overwritten; choose another with --out")


def hold(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Be the folder's only writer; what a killed one has left there is finished or cleared.

    Raises:
        RunFolderError: another process holds it, or it cannot be written.
    """
    return _safe(folder).hold()


def is_interrupted(folder: Path) -> bool:
    """Whether a training was interrupted here that can be resumed; an older finished run may be here as well."""
    return (folder / CHECKPOINT).is_file() and not _safe(folder).is_pending


def save_checkpoint(folder: Path, settings: dict[str, Any], state: dict[str, Any]) -> None:
    """Write all that it takes to go on, the settings included, in one file; an older finished run stays as it is.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    from safetensors.torch import save as serialise

    texts = {"state": json.dumps(state["values"]), "settings": json.dumps({**settings, "format": stored.FORMAT})}
    _safe(folder).put(CHECKPOINT, serialise(state["tensors"], metadata=texts))


def load_checkpoint_settings(folder: Path) -> dict[str, Any]:
    """Read what the interrupted run was told.

    Raises:
        RunFolderError: there is no checkpoint, or it is damaged.
    """
    return _checkpoint(folder)[0]


def load_checkpoint(folder: Path) -> Trainer:
    """Read the trainer that goes on from the last finished epoch.

    Raises:
        RunFolderError: there is no checkpoint, or it is damaged.
    """
    from .training import Trainer, TrainingOptions

    _, values, tensors = _checkpoint(folder)
    with stored.damage(folder / CHECKPOINT):
        options = TrainingOptions(**values["options"])
        stored.check_tensors(tensors, options, values["n_features"], values["n_classes"], only_network=False)
        return Trainer.from_state_dict({"tensors": tensors, "values": values}, options)


def _checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What a checkpoint holds: the run's settings, the training's values, and tensors."""
    _require_folder(folder)
    path = _existing(folder, CHECKPOINT)
    tensors, texts = stored.read_tensors(path)
    with stored.damage(path):
        if "settings" not in texts and "state" in texts:
            raise OptionError("it was begun by another version of crossent; start anew with --overwrite")
        settings, values = stored.parse_json(texts["settings"]), stored.parse_json(texts["state"])
    stored.check_settings(path, settings)
    stored.check_values(path, values)
    return settings, values, tensors


def save(
    folder: Path,
    settings: dict[str, Any],
    *,
    trainer: Trainer,
    transformer: ColumnTransformer,
    metrics: dict[str, Any],
    texts: dict[str, str],
) -> None:
    """Write a finished run, all at once: until then an older one, or the checkpoint, is what the folder holds.

    Args:
        folder: a held folder; an older run in it is replaced, and the checkpoint goes.
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
        **{name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()},
        SETTINGS: _json({**settings, "format": stored.FORMAT, "status": "finished"}),
    }
    _safe(folder).commit(contents)


def load_settings(folder: Path) -> dict[str, Any]:
    """Read what was run: run.json.

    Raises:
        RunFolderError: not a run folder, or one of another version.
    """
    _require_folder(folder)
    path = _existing(folder, SETTINGS)
    settings = stored.read_json(path)
    stored.check_settings(path, settings)
    return settings


def load(folder: Path) -> Run:
    """Load a finished run; one that is replaced meanwhile is loaded anew.

    Raises:
        RunFolderError: not a run folder, an unfinished one, or a damaged one; the message names the file.
    """
    for attempt in range(ATTEMPTS):
        before = _identity(folder)
        try:
            run = _load(folder)
        except RunFolderError:
            if attempt == ATTEMPTS - 1 or (_identity(folder) == before and not _safe(folder).is_pending):
                raise
        else:
            if _identity(folder) == before:
                return run
    raise RunFolderError(f"{folder} is being replaced all the time; wait until nothing trains into it")


def _load(folder: Path) -> Run:
    """Load a run, whose files must be of one run."""
    from .training import Trainer, TrainingOptions

    _require_folder(folder)
    if is_interrupted(folder) and not _safe(folder).where(SETTINGS).exists():
        raise RunFolderError(f"{folder} was interrupted; finish it: crossent train --resume --out {folder}")
    settings = load_settings(folder)
    if settings.get("status") != "finished":
        raise RunFolderError(f"{folder} was interrupted; finish it: crossent train --resume --out {folder}")
    metrics = stored.read_json(_existing(folder, METRICS))
    stored.check_metrics(folder / METRICS, metrics)
    transformer = load_transformer(_existing(folder, PREPROCESSING))
    weights = _existing(folder, WEIGHTS)
    tensors, _ = stored.read_tensors(weights)
    with stored.damage(weights):
        options = TrainingOptions(**{**settings["options"], "device": "cpu"})
        stored.check_tensors(tensors, options, settings["inputs"], len(settings["classes"]), only_network=True)
        trainer = Trainer(options, settings["inputs"], len(settings["classes"]))
        trainer.model.load_state_dict(tensors)
    with stored.damage(folder / PREPROCESSING):
        preprocessing.check_fitted(transformer, settings["inputs"])
    return Run(settings, metrics, trainer, transformer)


def write_whole(path: Path, content: bytes) -> None:
    """Write what a command gives: a file whole or not at all; a device or a pipe is written to, a link followed.

    Raises:
        RunFolderError: it cannot be written.
    """
    try:
        files.write(path, content)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror or error}") from error


def _safe(folder: Path) -> SafeFolder:
    """The folder as one whose files change all at once."""
    return SafeFolder(folder, FINISHED, obsolete=(CHECKPOINT,))


def _is_run(folder: Path) -> bool:
    """Whether a folder holds what crossent has written, and not only files of the same names."""
    if _safe(folder).is_pending or all((folder / name).is_file() for name in (WEIGHTS, PREPROCESSING)):
        return True
    for read in (load_settings, load_checkpoint_settings):
        with contextlib.suppress(RunFolderError):
            read(folder)
            return True
    return False


def _identity(folder: Path) -> tuple[int, ...] | None:
    """What tells a run from the next one in the same folder."""
    try:
        status = _safe(folder).where(SETTINGS).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _json(content: dict[str, Any]) -> bytes:
    """Readable JSON, UTF-8; a NaN would not be JSON and is refused, what is not Unicode in a path is escaped."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _require_folder(folder: Path) -> None:
    """Raise unless there is a folder."""
    with _unreadable(folder):
        if not folder.is_dir():
            raise RunFolderError(f"no run folder at {folder}; `crossent train` makes one")


def _existing(folder: Path, name: str) -> Path:
    """The path of a file that a run folder must have."""
    path = _safe(folder).where(name)
    if not path.is_file():
        raise RunFolderError(f"{folder} is not a complete run folder: it has no {name}")
    return path


@contextlib.contextmanager
def _unreadable(folder: Path) -> Iterator[None]:
    """What the system says about a folder's path, in one sentence."""
    try:
        yield
    except RunFolderError:
        raise
    except (OSError, ValueError) as error:  # a path that no system takes is a ValueError
        raise RunFolderError(f"{folder} cannot be read: {getattr(error, 'strerror', None) or error}") from error
