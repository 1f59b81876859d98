"""The training loop: a network, AdamW, a stopping rule, and a state from which to go on bit for bit."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from crossent.errors import DataError, OptionError

from .backpropagation import loss_and_gradients
from .checkpoint import EpochRecord, State, TrainingState, rebuild
from .device import one_thread
from .objective import mean_loss, probabilities
from .options import TrainingOptions
from .parallel import Ranks
from .rows import Rows, build_rows, check_classes, check_features, check_weights, resolve_class_weight, take

__all__ = ["EpochRecord", "State", "Trainer", "TrainingOptions", "restored"]

PREDICTION_ELEMENTS = 1 << 24  # of the widest layer: 64 MB in float32
SMALL_STEP = 4_000_000  # multiplications in one forward pass of a batch, below which one thread is fastest


class Trainer(TrainingState):
    """A network that is being trained: `fit` it, ask it for `logits`, store its `state_dict` and go on later.

        loss of a batch = Σ wᵢ·cross-entropy(qᵢ, zᵢ) / rows in the batch        q = (1 − ε)·one-hot + ε/C

    wᵢ is the row's sample weight times its class's weight, scaled so that they average 1 over the training set; ε is
    the label smoothing. Two classes have one logit and the binary loss.

    Args:
        options: a `TrainingOptions`.
        n_features: numbers in one example.
        n_classes: number of classes, at least 2.

    Attributes:
        network: the network as the last finished epoch left it.
        history: one dict an epoch: epoch (from 1), loss (mean over the epoch, smoothing and weights included),
            held_out_loss and held_out_accuracy (None without held-out data), seconds.
        best_loss, best_epoch: lowest loss that the stopping rule watched, and its epoch.

    Raises:
        OptionError: a device that is not there; fewer than two classes.

    Example:
        >>> import numpy as np
        >>> from crossent.classify.training import Trainer, TrainingOptions
        >>> x = np.array([[-1.0], [-2.0], [1.0], [2.0]])
        >>> trainer = Trainer(TrainingOptions((), epochs=50, learning_rate=0.1), n_features=1, n_classes=2)
        >>> history = trainer.fit(x, [0, 0, 1, 1])
        >>> trainer.probabilities(x).argmax(axis=1)
        array([0, 0, 1, 1])

    Source: Loshchilov, Hutter, Decoupled weight decay regularization (2019).
    """

    ranks: Ranks | None = None

    @property
    def stopped(self) -> bool:
        """Whether a stopping rule ended the training."""
        watching = self.options.early_stopping or self.options.stop_when_converged
        return watching and self.epochs_without_progress >= self.options.patience

    @property
    def finished(self) -> bool:
        """Whether there is nothing left for `fit` to do."""
        return self.stopped or self.epoch >= self.options.epochs

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        held_out: tuple[Any, ...] | None = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        on_epoch: Callable[[EpochRecord], object] | None = None,
        progress: bool = False,
    ) -> list[EpochRecord]:
        """Train up to `options.epochs` epochs in total, counting those already made, or until a stopping rule ends it.

        An interrupt or an error within an epoch leaves everything as the last finished epoch left it.

        Args:
            x: (N, n_features) numbers: an array, a tensor, a SciPy sparse matrix; images (N, h, w) are flattened.
            y: (N,) class indices 0 … n_classes − 1.
            held_out: (x, y) or (x, y, sample_weight), looked at after every epoch.
            sample_weight: (N,) numbers of at least 0; a row of weight 0 is as good as absent.
            class_weight: (n_classes,) numbers of at least 0, or "balanced"; for the held-out loss as well.
            on_epoch: called with the epoch's record when the epoch is finished and the state is whole.
            progress: show a bar with the loss and the held-out accuracy on stderr.

        Returns:
            The history, that of earlier calls included.

        Raises:
            DataError: no rows, a NaN among the features, a loss that is no longer finite (the state is that of the
                last finished epoch). ShapeError, DtypeError, ClassIndexError: x, y or a weight that does not fit.
            OptionError: early_stopping without held_out.
        """
        if self.options.early_stopping and held_out is None:
            raise OptionError("early_stopping needs held-out data: pass held_out=(x, y).")
        rows = self._rows(x, y, sample_weight, class_weight=class_weight)
        watched = None if held_out is None else self._rows(*held_out, class_weight=rows.class_weight)
        with self.bar(progress) as bar:
            while not self.finished:
                with self._all_or_nothing(), one_thread(self._small):
                    record = self._one_epoch(rows, watched)
                bar.set_postfix(postfix(record), refresh=False)
                bar.update()
                if on_epoch is not None:
                    on_epoch(dict(record))
        return [dict(record) for record in self.history]

    def logits(self, x: Any) -> npt.NDArray[Any]:
        """Compute the logits of the network that predicts.

        Args:
            x: (N, n_features) numbers, as in `fit`.

        Returns:
            (N, n_classes), or (N, 1) where there are two classes, in the dtype of the options.

        Raises:
            ShapeError, DtypeError, DataError: as in `fit`.
        """
        features = check_features(x, self.n_features, self.dtype, self.device)
        return self._logits(features, self.model).cpu().numpy()

    def probabilities(self, x: Any) -> npt.NDArray[Any]:
        """Compute P(class) = softmax(logits), shape (N, n_classes); with two classes softmax((0, logit)).

        Args and errors are those of `logits`.
        """
        return probabilities(self.logits(x))

    @property
    def _small(self) -> bool:
        """Whether a step is too short to be shared among threads."""
        per_row = sum(parameter.numel() for parameter in self.optimizer.parameters)
        return self.device.type == "cpu" and self.options.batch_size * per_row <= SMALL_STEP

    def _rows(self, x: Any, y: Any, sample_weight: Any = None, *, class_weight: Any = None) -> Rows:
        """Check examples, classes and weights for this network."""
        features = check_features(x, self.n_features, self.dtype, self.device)
        classes = check_classes(y, features.shape[0], self.n_classes)
        weights = None if sample_weight is None else check_weights(sample_weight, len(classes), "sample_weight")
        class_weights = resolve_class_weight(class_weight, classes, weights, self.n_classes)
        return build_rows(features, classes, weights, class_weights, like=self.optimizer.parameters[-1])

    def _one_epoch(self, rows: Rows, watched: Rows | None) -> EpochRecord:
        """Train one epoch, look at the held-out rows, and keep the books."""
        started = time.perf_counter()
        loss = self._train(rows)
        held_out_loss, held_out_accuracy = (None, None) if watched is None else self._evaluate(watched)
        seconds = time.perf_counter() - started
        record = {
            "epoch": self.epoch + 1,
            "loss": loss,
            "held_out_loss": held_out_loss,
            "held_out_accuracy": held_out_accuracy,
            "seconds": seconds,
        }
        self.note_progress(held_out_loss if self.options.early_stopping and held_out_loss is not None else loss)
        self.history.append(record)
        return record

    def _train(self, rows: Rows) -> float:
        """Make one pass over the rows in a new order; return the mean of the batches' losses."""
        order = torch.randperm(len(rows), generator=self.generator).to(self.device)
        losses = []
        parameters = self.optimizer.parameters
        for loss, gradients in self._steps(rows, order):
            self.optimizer.step(gradients)
            losses.append(loss)
        with torch.no_grad():
            after_last_step = float(sum(parameter.sum() for parameter in parameters))
        sizes = [self.options.batch_size] * (len(losses) - 1)
        shares = torch.tensor([*sizes, len(rows) - sum(sizes)]) / len(rows)
        total = float(torch.stack(losses).to("cpu", torch.float64) @ shares.double())
        return self._finite("training", total if math.isfinite(after_last_step) else math.nan)

    def _steps(self, rows: Rows, order: Tensor) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """The loss and the gradients of each batch, by this process alone or by all."""
        parameters, smoothing = self.optimizer.parameters, self.options.label_smoothing
        if self.ranks is None:
            for batch in rows.batches(order, self.options.batch_size):
                yield loss_and_gradients(parameters, *batch, smoothing)
            return
        for own, share in self.ranks.batches(rows, order, self.options.batch_size):
            made = None if own is None else loss_and_gradients(parameters, *own, smoothing)
            yield self.ranks.summed(parameters, made, share)

    def _evaluate(self, rows: Rows) -> tuple[float, float]:
        """Compute the held-out loss and accuracy of the network as it is."""
        logits = self._logits(rows.features, self.network)
        with torch.inference_mode():
            loss = mean_loss(logits, rows.targets, rows.weights, self.options.label_smoothing)
            correct = logits.argmax(1) == rows.targets if self.n_classes > 2 else (logits > 0) == (rows.targets > 0)
        return self._finite("held-out", float(loss)), int(correct.sum()) / len(rows)

    def _logits(self, features: Any, network: nn.Module) -> Tensor:
        """Compute logits, a bounded number of rows at a time."""
        widest = max(self.n_features, *self.options.hidden_layer_sizes, self.n_classes)
        size = max(1, PREDICTION_ELEMENTS // widest)
        starts = range(0, features.shape[0], size)
        with torch.inference_mode():
            return torch.cat([network(take(features, slice(start, start + size), self.device)) for start in starts])

    def _finite(self, which: str, loss: float) -> float:
        """Return the loss, or raise the DataError that says what to do about one that is not finite."""
        if math.isfinite(loss):
            return loss
        raise DataError(
            f"The {which} loss is {loss} in epoch {self.epoch + 1}: the training diverged. Lower the learning rate "
            f"(it is {self.options.learning_rate:g}) or scale the features to mean 0 and standard deviation 1; the "
            "weights are those of the last finished epoch."
        )

    def note_progress(self, loss: float) -> None:
        """Count the epochs without progress and keep the best weights."""
        stalled = loss > self.best_loss - self.options.tolerance
        self.epochs_without_progress = self.epochs_without_progress + 1 if stalled else 0
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch + 1
            if self.best_network is not None:
                self.best_network.load_state_dict(self.network.state_dict())

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Take everything back to the last finished epoch if an interrupt or an error ends this one."""
        before = self.packed(self.device)
        try:
            yield
        except BaseException:
            self._go_back(before)
            raise

    def _go_back(self, before: State) -> None:
        """Load a state to the end, however often Ctrl-C is pressed meanwhile."""
        while True:
            try:
                self.load_state_dict(before)
            except KeyboardInterrupt:
                continue
            return

    def bar(self, progress: bool) -> tqdm[Any]:
        """Build the progress bar: epochs, the loss and the held-out accuracy."""
        hidden = {} if progress else {"disable": True}  # where it is wanted, TQDM_DISABLE decides
        return tqdm(total=self.options.epochs, initial=self.epoch, unit="epoch", **hidden)


def postfix(record: EpochRecord) -> dict[str, str]:
    """Say how the epoch went, for the progress bar."""
    shown = {"loss": f"{record['loss']:.4f}"}
    if record["held_out_loss"] is not None:
        shown |= {"held-out loss": f"{record['held_out_loss']:.4f}", "accuracy": f"{record['held_out_accuracy']:.3f}"}
    return shown


def restored(state: State) -> Trainer:
    """A trainer from its state with arrays in the place of tensors; where its device is not at hand, on the CPU."""
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in state["tensors"].items()}
    found = rebuild(Trainer, {"tensors": tensors, "values": state["values"]})
    assert isinstance(found, Trainer)
    return found
