"""One training run from data to report: load, split, preprocess, train, evaluate, write the run folder."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent._system.interrupts import Interrupts
from crossent.errors import DataError, RunFolderError

from . import data, preprocessing, report, runs
from .calibration import apply_temperature
from .cautions import cautions
from .cells import as_csv
from .device import find_device
from .evaluation import Evaluation, evaluate
from .insight import Insight, look
from .options import TrainingOptions
from .parallel import Ranks, WorkerLeftError
from .reading.options import AS_FOUND, ReadingOptions
from .training import Trainer

__all__ = ["Experiment", "TrainingInterruptedError"]

SECONDS_TO_FIRST_CHECKPOINT, SECONDS_BETWEEN_CHECKPOINTS = 5.0, 30.0


class TrainingInterruptedError(Exception):
    """Training was stopped by Ctrl-C, SIGTERM or SIGHUP.

    Args:
        epochs: that were finished.
        saved: of these, the ones that the run folder's checkpoint has.
        number: of the signal.
        reason: what has interrupted it, if not a signal.
    """

    def __init__(self, epochs: int, saved: int, number: int, reason: str = "") -> None:
        super().__init__(f"{reason or 'interrupted'} after epoch {epochs}")
        self.epochs, self.saved, self.number = epochs, saved, number


@dataclass
class Experiment:
    """What to train on which data, and where the result goes.

    Args:
        source: the data set's name or path, as in `data.load`.
        target: the target column; None to find it.
        held_out: the share of the rows to hold out, where the data has no test part.
        class_weight: "balanced" or None.
        options: the `TrainingOptions`; their seed is that of the split too.
        folder: the run folder.
        command: the command line, for the report.
        reading: how to read the data, where the file does not say it.
        baselines: whether to train others on the same split, to compare.
        language: of the report: "en" or "zh".
        ranks: this process among those that train together, of which the first writes the files; None alone.
        say: where notes go.
        warn: where goes what is wrong without being the end.
    """

    source: str
    target: str | None
    held_out: float
    class_weight: str | None
    options: TrainingOptions
    folder: Path
    command: str
    arguments: dict[str, Any] = field(default_factory=dict)
    reading: ReadingOptions = AS_FOUND
    baselines: bool = False
    language: str = "en"
    ranks: Ranks | None = None
    say: Callable[[str], object] = lambda _: None
    warn: Callable[[str], object] = lambda _: None

    def run(
        self,
        *,
        resume: bool = False,
        overwrite: bool = True,
        progress: bool = False,
        on_epoch: Callable[[dict[str, Any]], object] | None = None,
    ) -> Evaluation | None:
        """Train and write the run folder; with `resume`, go on from the folder's checkpoint.

        The folder is this run's alone until the end. An older run in it stays until this one is written whole. Of
        processes that train together the first gives the evaluation, the others None.

        Raises:
            DataError, OptionError, RunFolderError: what is wrong, before anything is written.
            TrainingInterruptedError: after Ctrl-C, SIGTERM or SIGHUP; the folder holds a checkpoint if an epoch was
                finished.
        """
        find_device(self.options.device)  # before the data are read
        with runs.hold(self.folder) if self._first else contextlib.nullcontext():
            if self._first and not resume:
                runs.claim(self.folder, overwrite)
            self._load()
            trainer = self._trainer(resume)
            with Interrupts() as interrupts, self._joined(trainer):
                return self._run(trainer, interrupts, progress, on_epoch)

    @property
    def _first(self) -> bool:
        """Whether this process writes the files: it is alone, or the first."""
        return self.ranks is None or self.ranks.first

    @contextlib.contextmanager
    def _joined(self, trainer: Trainer) -> Iterator[None]:
        """Together with the other processes inside, if there are others."""
        if self.ranks is None:
            yield
            return
        trainer.ranks = self.ranks
        with self.ranks.joined(trainer.device):
            yield

    def _run(
        self,
        trainer: Trainer,
        interrupts: Interrupts,
        progress: bool,
        on_epoch: Callable[[dict[str, Any]], object] | None,
    ) -> Evaluation | None:
        """Train with a checkpoint now and then, and finish; or save what there is."""
        next_save = time.monotonic() + SECONDS_TO_FIRST_CHECKPOINT

        def after_epoch(record: dict[str, Any]) -> None:
            nonlocal next_save
            interrupts.check()
            if self._first and time.monotonic() > next_save and not trainer.finished:
                with interrupts.deferred():
                    self._try_checkpoint(trainer)
                next_save = time.monotonic() + SECONDS_BETWEEN_CHECKPOINTS
                interrupts.check()
            if on_epoch is not None:
                on_epoch(record)

        try:
            try:
                trainer.fit(
                    self.x,
                    self.y,
                    held_out=(self.x_held_out, self.y_held_out),
                    class_weight=self.class_weight,
                    on_epoch=after_epoch,
                    progress=progress,
                )
            except WorkerLeftError as error:
                with interrupts.deferred():  # torchrun ends the others, too
                    self._last_checkpoint(trainer)
                raise TrainingInterruptedError(trainer.epoch, self._saved, signal.SIGTERM, str(error)) from None
            if not self._first:
                return None
            contents = self._results(trainer)
            with interrupts.deferred():
                return self._save(trainer, *contents)
        except KeyboardInterrupt:
            self._last_checkpoint(trainer)
            raise TrainingInterruptedError(trainer.epoch, self._saved, interrupts.number or signal.SIGINT) from None

    def _last_checkpoint(self, trainer: Trainer) -> None:
        """Save what the checkpoint has not yet."""
        if self._first and trainer.epoch > self._saved:
            self._checkpoint(trainer)

    def _load(self) -> None:
        """Load, split and preprocess the data; the transformers see the training part alone."""
        dataset = data.load(self.source, self.target, self.reading)
        self.train, self.test = data.split(dataset, self.held_out, self.options.seed)
        self.dataset, self.classes = dataset, dataset.classes
        pictures = dataset.picture_shape is not None
        self.transformer, found = preprocessing.fit(self.train.features, pictures, self.reading.text)
        self.cautions = cautions(self.train, self.test, self.transformer)
        self.notes = [*dataset.notes, *found]
        self.x, self.y = self._numbers(self.train)
        self.x_held_out, self.y_held_out = self._numbers(self.test)
        self.settings = self._settings()
        self.say(f"{dataset.name}: {self._counts()}")
        for note in [*self.notes, *(f"caution: {note}" for note in self.cautions)]:
            self.say(note)

    def _numbers(self, part: data.Dataset) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """A part's inputs and class indices."""
        if part.labels is None:
            raise DataError(f"{part.name} has no labels")
        return preprocessing.transform(self.transformer, part.features), data.encode(part.labels, self.classes)

    def _settings(self) -> dict[str, Any]:
        """What run.json holds: all that it takes to know the data again and to rebuild the network."""
        return {
            "command": self.command,
            "arguments": self.arguments,
            "options": self.options.as_dict(),
            "target": self.dataset.target,
            "classes": self.classes,
            "inputs": self.x.shape[1],
            "picture_shape": self.dataset.picture_shape and list(self.dataset.picture_shape),
            "fingerprint": self.dataset.fingerprint(),
            "versions": _versions(),
        }

    def _trainer(self, resume: bool) -> Trainer:
        """A new trainer, or the one that the checkpoint describes."""
        self._saved = 0
        if not resume:
            return Trainer(self.options, *self._sizes)
        if runs.load_checkpoint_settings(self.folder)["fingerprint"] != self.settings["fingerprint"]:
            raise DataError(
                f"{self.source} has changed since the run in {self.folder} was begun; start anew with --overwrite"
            )
        trainer = runs.load_checkpoint(self.folder)
        if trainer.options != self.options or (trainer.n_features, trainer.n_classes) != self._sizes:
            raise RunFolderError(f"the checkpoint in {self.folder} is of a run with other options; start anew")
        self._saved = trainer.epoch
        self.say(f"going on after epoch {trainer.epoch} of {self.options.epochs}")
        return trainer

    @property
    def _sizes(self) -> tuple[int, int]:
        """Inputs and classes of the network."""
        return self.x.shape[1], len(self.classes)

    def _checkpoint(self, trainer: Trainer) -> None:
        """Save what it takes to go on."""
        runs.save_checkpoint(self.folder, self.settings, trainer.state_dict())
        self._saved = trainer.epoch

    def _try_checkpoint(self, trainer: Trainer) -> None:
        """Save a checkpoint; that it cannot be written now, as on a full disk, is no reason to stop."""
        try:
            self._checkpoint(trainer)
        except RunFolderError as error:
            self.warn(f"no checkpoint after epoch {trainer.epoch}: {error}; the training goes on")

    def _results(self, trainer: Trainer) -> tuple[Evaluation, dict[str, Any], dict[str, str]]:
        """Evaluate on the held-out part: the evaluation, what metrics.json holds, and the texts by file name."""
        evaluation = evaluate(trainer.logits(self.x_held_out), self.y_held_out, self.classes, self.options.seed)
        history = trainer.history
        metrics = {**evaluation.metrics(), "epochs": len(history), "history": history}
        positions = np.arange(len(self.y_held_out)) if self.test.positions is None else self.test.positions
        safe = bool(self.arguments.get("safe_cells"))
        self.insight = self._look(trainer, evaluation)
        metrics |= self.insight.metrics()
        background = self._background(history)
        page = report.render(
            evaluation, history, self.test.features, positions.tolist(), background, self.insight, self.language
        )
        return evaluation, metrics, {runs.REPORT: page, runs.PREDICTIONS: predictions_csv(evaluation, positions, safe)}

    def _look(self, trainer: Trainer, evaluation: Evaluation) -> Insight:
        """What others reach on the same split, and which columns count."""
        return look(
            lambda x: apply_temperature(trainer.logits(x), evaluation.temperature),
            self.transformer,
            (self.x, self.y, self.x_held_out, self.y_held_out),
            self.test.features,
            right=evaluation.predictions == evaluation.labels,
            seed=self.options.seed,
            beside=self.baselines,
        )

    def _save(
        self, trainer: Trainer, evaluation: Evaluation, metrics: dict[str, Any], texts: dict[str, str]
    ) -> Evaluation:
        """Write the finished run; where that cannot be done, a checkpoint, so that the training is not lost."""
        try:
            runs.save(
                self.folder,
                self.settings,
                trainer=trainer,
                transformer=self.transformer,
                metrics=metrics,
                texts=texts,
            )
        except RunFolderError:
            if trainer.epoch > self._saved:
                with contextlib.suppress(RunFolderError):
                    self._checkpoint(trainer)
            raise
        return evaluation

    def _background(self, history: Sequence[dict[str, Any]]) -> report.Background:
        """What the report says about the run."""
        options, columns = self.options, preprocessing.columns_of(self.transformer)
        hidden = ", ".join(map(str, options.hidden_layer_sizes)) or "none (softmax regression)"
        kinds = ", ".join(f"{len(names)} of {kind}" for kind, names in columns.items())
        facts = [
            ("Data", f"{self.dataset.name}: {self._counts()}"),
            *[("Note", note) for note in self.notes],
            ("Columns used", f"{kinds}; {self.x.shape[1]} inputs to the network"),
            (
                "Network",
                f"hidden layers: {hidden}; output: {'1 logit' if len(self.classes) == 2 else 'one logit a class'}",
            ),
            ("Options", ", ".join(f"{name} {value}" for name, value in options.as_dict().items())),
            ("Class weights", self.class_weight or "none"),
            ("Training time", f"{sum(record['seconds'] for record in history):.1f} seconds"),
            ("Versions", ", ".join(f"{name} {version}" for name, version in self.settings["versions"].items())),
            ("Finished", datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")),
        ]
        return report.Background(
            title=self.dataset.name,
            command=self.command,
            facts=facts,
            row_source="the test part" if self.dataset.test is not None else "the data as it was read",
            picture_shape=self.dataset.picture_shape,
            chosen_by_held_out=options.early_stopping,
            cautions=self.cautions,
        )

    def _counts(self) -> str:
        """The data's size in words."""
        rows, held_out = len(self.y), len(self.y_held_out)
        which = "the test part" if self.dataset.test is not None else f"{self.held_out:.0%}"
        return (
            f"{self.train.features.shape[1]} features, {len(self.classes)} classes, {rows} rows to train on, "
            f"{held_out} held out ({which})"
        )


def predictions_csv(evaluation: Evaluation, positions: npt.NDArray[np.int64], safe_cells: bool = False) -> str:
    """The held-out predictions, a line a row; with `safe_cells` none that a spreadsheet takes for a formula."""
    import pandas as pd

    predictions = evaluation.predictions
    table = pd.DataFrame(
        {
            "row": positions + 1,
            "true": [evaluation.classes[label] for label in evaluation.labels],
            "predicted": [evaluation.classes[label] for label in predictions],
            "probability": evaluation.probabilities[np.arange(len(predictions)), predictions],
            "loss": evaluation.row_loss,
        }
    )
    return as_csv(table, safe_cells)


def _versions() -> dict[str, str]:
    """The versions of what computed the result."""
    names = ("crossent", "torch", "numpy", "scikit-learn")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}
