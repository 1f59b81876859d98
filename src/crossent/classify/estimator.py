"""A scikit-learn classifier: softmax or logistic regression, with hidden layers where asked for."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.errors import DataError, MissingDependencyError, OptionError

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import Tags
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data

    from .parameters import (
        as_class_weight,
        checked_weights,
        hold_out,
        known_classes,
        random_generator,
        refuse_several_labels,
        training_options,
        uses_lbfgs,
    )
except ImportError as error:
    raise MissingDependencyError("SoftmaxClassifier needs scikit-learn: install the extra crossent[train]") from error

from .objective import log_probabilities, probabilities
from .solving import solve
from .training import Trainer, restored

__all__ = ["SoftmaxClassifier"]

Array = npt.NDArray[Any]


class SoftmaxClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Classify with a softmax on a linear map, or on a network of ReLU layers, trained on the cross-entropy.

        P(class c | x) = softmax(z)_c        z = the network's logits        loss = mean of wᵢ·(LSE(zᵢ) − ⟨qᵢ, zᵢ⟩)

    With two classes the network has one logit z, P(classes_[1] | x) = 1 / (1 + exp(−z)), and the binary loss. Scale
    the features first (`StandardScaler`): the learning rate is set for features around 1. Parameters and attributes
    that `sklearn.neural_network.MLPClassifier` has too bear the same names and defaults. Results repeat to the bit for
    a fixed random_state, on the same machine with the same number of threads.

    Args:
        hidden_layer_sizes: width of every hidden layer; () for softmax regression, which is scikit-learn's
            LogisticRegression, solved to its optimum however the features are scaled.
        solver: "adam", "lbfgs" (without hidden layers), or "auto": lbfgs without hidden layers and early_stopping.
        C: for lbfgs, the inverse of the L2 penalty, as LogisticRegression's; np.inf for none.
        max_iter: most passes over the data (epochs), or steps of lbfgs.
        batch_size: rows in one step of the optimizer; "auto" is min(200, rows).
        learning_rate_init: step size of Adam.
        weight_decay: decoupled weight decay (AdamW); for lbfgs, added to the penalty 1/(C·n) of the mean loss.
        label_smoothing: ε in q = (1 − ε)·one-hot + ε/C.
        class_weight: None, "balanced" (all classes weigh alike) or a dict from class to weight (1 where missing); times
            sample_weight.
        early_stopping: hold out validation_fraction of the rows, stratified, stop when their loss no longer falls and
            keep the weights of the best epoch; otherwise stop when the training loss no longer falls.
        validation_fraction: between 0 and 1; used with early_stopping.
        n_iter_no_change: epochs without progress after which training stops.
        tol: a fall of the loss by less than this is no progress; lbfgs stops where no derivative is above tol/10.
        random_state: an int, a `numpy.random.RandomState`, or None for a new start each time. The global generators of
            NumPy and PyTorch are not touched.
        warm_start: let `fit` go on from the last fit's network and optimizer.
        verbose: show a progress bar.
        device: "cpu", "cuda", "mps" or "auto".
        dtype: of the network: "float32", "float64", or "auto": float32, but float64 where float64 rows are so few that
            one batch holds them all (on the CPU), because precision costs nothing there.

    Attributes:
        classes_: (C,) the labels, sorted. n_features_in_, feature_names_in_: of the training data.
        n_iter_: epochs trained. loss_curve_: their training losses in nats. loss_: the last. best_loss_: the lowest.
        validation_scores_, best_validation_score_, validation_loss_curve_: held-out accuracy and loss by epoch, None
            without early_stopping. coefs_, intercepts_: weights (fan in, fan out) and biases, layer by layer.
        n_layers_: input and output included. n_outputs_: number of logits. out_activation_: "logistic" or "softmax".

    Raises:
        OptionError, DataError, ClassIndexError: from `fit`; each is also a ValueError or an IndexError.
        MissingDependencyError: scikit-learn is not installed.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> from crossent import SoftmaxClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = make_pipeline(StandardScaler(), SoftmaxClassifier((16,), learning_rate_init=0.01, random_state=0))
        >>> model.fit(X, y).score(X, y) > 0.95
        True

    Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2009), sections 4.4 and 11.3.
    """

    _doc_link_module = "crossent"  # where the picture of an estimator in a notebook leads to
    _doc_link_template = "https://pypi.org/project/crossent/"

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] | int = (128,),
        *,
        solver: str = "auto",
        C: float = 1.0,
        max_iter: int = 200,
        batch_size: int | str = "auto",
        learning_rate_init: float = 1e-3,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: bool = False,
        device: str = "cpu",
        dtype: str = "auto",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.solver = solver
        self.C = C
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.device = device
        self.dtype = dtype

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SoftmaxClassifier:
        """Train on rows X (n, features), dense or sparse, with labels y (n,) and weights (n,) of at least 0.

        An interrupt (Ctrl-C) after the first epoch keeps what was learned, with a warning.

        Raises:
            DataError: fewer than two classes, too few rows to hold some out, a loss that is no longer finite.
            OptionError: a parameter outside its range. ValueError: scikit-learn's, for X and y that do not fit.

        Warns:
            ConvergenceWarning: max_iter epochs were not enough.
        """
        old = self._trainer if self.warm_start and hasattr(self, "_trainer") else None
        X, y = self._checked(X, y, reset=old is None)
        classes, indices = np.unique(y, return_inverse=True)
        if old is not None and not np.array_equal(classes, self.classes_):
            raise DataError(f"warm_start goes on with the classes {self.classes_}; got {classes}. Fit a new estimator.")
        weights = checked_weights(sample_weight, indices, classes)
        random = random_generator(self.random_state)
        by_lbfgs = uses_lbfgs(self.get_params(deep=False))
        trainer = self._trainer_for(X, classes, random, old, by_lbfgs=by_lbfgs)
        data = {"class_weight": as_class_weight(self.class_weight, classes, y)}
        if by_lbfgs:
            self._solve(trainer, X, indices, weights, fresh=old is None, **data)
            return self._remember(trainer, classes)
        if self.early_stopping:
            X, indices, weights, data["held_out"] = hold_out(X, indices, weights, self.validation_fraction, random)
        self._train(trainer, X, indices, sample_weight=weights, **data)
        return self._remember(trainer, classes)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> SoftmaxClassifier:
        """Train one epoch on rows X (n, features) with labels y (n,) and weights (n,) of at least 0.

        Args:
            X: as in `fit`.
            y: as in `fit`; not every class needs to be there.
            classes: all labels that will ever come; needed in the first call.
            sample_weight: as in `fit`.

        Raises:
            DataError: a label that is not among the classes, or no classes in the first call.
            OptionError: early_stopping or class_weight="balanced", which need all rows at once.
        """
        if self.early_stopping or isinstance(self.class_weight, str):
            raise OptionError('early_stopping and class_weight="balanced" need all rows: not with partial_fit.')
        old = getattr(self, "_trainer", None)
        X, y = self._checked(X, y, reset=old is None)
        known = known_classes(classes, None if old is None else self.classes_)
        indices = np.minimum(np.searchsorted(known, y), len(known) - 1)
        if not np.array_equal(known[indices], y):
            raise DataError(f"y holds labels that are not among the classes {known}: {np.setdiff1d(y, known)}.")
        trainer = self._trainer_for(X, known, random_generator(self.random_state), old)
        trainer.options = dataclasses.replace(trainer.options, epochs=trainer.epoch + 1, stop_when_converged=False)
        class_weight = as_class_weight(self.class_weight, known, known)
        trainer.fit(X, indices, sample_weight=sample_weight, class_weight=class_weight)
        return self._remember(trainer, known)

    def decision_function(self, X: Any) -> Array:
        """Compute the logits of rows X (n, features): (n, C), or (n,) the one logit where there are two classes."""
        logits = self._logits(X)
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def predict(self, X: Any) -> Array:
        """Name the likeliest class of rows X (n, features): (n,) of the labels that `fit` saw."""
        logits = self._logits(X)
        indices = (logits[:, 0] > 0).astype(int) if logits.shape[1] == 1 else logits.argmax(axis=1)
        labels: Array = self.classes_[indices]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Compute P(class) = softmax(logits) of rows X (n, features): (n, C) in X's dtype, columns as in classes_."""
        return self._in_dtype(probabilities(self._logits(X)), X)

    def predict_log_proba(self, X: Any) -> Array:
        """Compute log P(class), from the logits: finite where predict_proba underflows; (n, C) in X's dtype."""
        return self._in_dtype(log_probabilities(self._logits(X)), X)

    @property
    def coefs_(self) -> list[Array]:
        """The weights, layer by layer, each (fan in, fan out)."""
        return [weight.detach().cpu().numpy().T for weight in list(self._trainer.model.parameters())[0::2]]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases, layer by layer, each (fan out,)."""
        return [bias.detach().cpu().numpy() for bias in list(self._trainer.model.parameters())[1::2]]

    def __getstate__(self) -> dict[str, Any]:
        """The network as arrays and numbers: pickle and skops store it without torch's objects."""
        state: dict[str, Any] = super().__getstate__()
        if "_trainer" in state:
            packed = state["_trainer"].state_dict()
            arrays = {name: tensor.numpy() for name, tensor in packed["tensors"].items()}
            state = {**state, "_trainer": {"tensors": arrays, "values": packed["values"]}}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The way back, with the device that is at hand."""
        if isinstance(state.get("_trainer"), dict):
            state = {**state, "_trainer": restored(state["_trainer"])}
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Array]:
        """Check X and y in scikit-learn's way."""
        refuse_several_labels(y)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=(np.float64, np.float32), reset=reset)
        check_classification_targets(y)
        return X, y

    def _logits(self, X: Any) -> Array:
        """Check X and compute its logits, one column or one a class."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        logits: Array = self._trainer.logits(X)
        return logits

    def _in_dtype(self, values: Array, X: Any) -> Array:
        """Numbers in X's dtype, where that is float32, as scikit-learn's own classifiers give them."""
        return values.astype(np.float32) if getattr(X, "dtype", None) == np.float32 else values

    def _trainer_for(
        self, X: Any, classes: Array, random: np.random.RandomState, old: Trainer | None, *, by_lbfgs: bool = False
    ) -> Trainer:
        """Build a trainer; or one that goes on from the old one's state, its stopping rule set back."""
        seed = int(random.randint(2**31 - 1))
        epochs_before = 0 if old is None else old.epoch
        parameters = self.get_params(deep=False)
        if by_lbfgs and isinstance(self.dtype, str) and self.dtype == "auto":
            parameters["dtype"] = str(X.dtype)  # it computes in float64: precision costs nothing
        options = training_options(parameters, X, seed=seed, epochs_before=epochs_before)
        if old is None:
            return Trainer(options, X.shape[1], len(classes))
        state = old.state_dict()
        state["values"] |= {"best_loss": None, "best_epoch": 0, "epochs_without_progress": 0}
        return Trainer.from_state_dict(state, dataclasses.replace(options, dtype=old.options.dtype))

    def _solve(self, trainer: Trainer, X: Any, indices: Array, weights: Any, *, fresh: bool, class_weight: Any) -> None:
        """Solve softmax regression; an interrupt keeps the finished steps."""
        try:
            solved = solve(
                trainer,
                X,
                indices,
                sample_weight=weights,
                class_weight=class_weight,
                C=self.C,
                fresh=fresh,
                progress=self.verbose,
            )
        except KeyboardInterrupt:
            if not trainer.epoch:
                raise
            warnings.warn(f"Training interrupted; the model is that of step {trainer.epoch}.", stacklevel=3)
        else:
            if not solved:
                text = f"max_iter={self.max_iter} steps of lbfgs did not reach the optimum"
                warnings.warn(f"{text}: raise max_iter, or tol, or lower C.", ConvergenceWarning, stacklevel=3)

    def _train(self, trainer: Trainer, X: Any, indices: Array, **data: Any) -> None:
        """Run the training; an interrupt keeps the finished epochs."""
        try:
            trainer.fit(X, indices, progress=bool(self.verbose), **data)
        except KeyboardInterrupt:
            if not trainer.epoch:
                raise
            warnings.warn(f"Training interrupted; the model is that of epoch {trainer.epoch}.", stacklevel=3)
        else:
            if not trainer.stopped:
                warnings.warn(
                    f"max_iter={self.max_iter} epochs were reached and the loss was still falling: raise max_iter, "
                    "or learning_rate_init, or tol.",
                    ConvergenceWarning,
                    stacklevel=3,
                )

    def _remember(self, trainer: Trainer, classes: Array) -> SoftmaxClassifier:
        """Set what a fitted estimator has."""
        self._trainer, self.classes_ = trainer, classes
        curves = {name: [record[name] for record in trainer.history] for name in trainer.history[0]}
        self.n_iter_, self.loss_curve_ = trainer.epoch, curves["loss"]
        self.loss_, self.best_loss_ = self.loss_curve_[-1], min(self.loss_curve_)
        watched = trainer.options.early_stopping
        self.validation_scores_ = curves["held_out_accuracy"] if watched else None
        self.validation_loss_curve_ = curves["held_out_loss"] if watched else None
        self.best_validation_score_ = max(curves["held_out_accuracy"]) if watched else None
        self.n_outputs_ = 1 if len(classes) == 2 else len(classes)
        self.n_layers_ = len(trainer.options.hidden_layer_sizes) + 2
        self.out_activation_ = "logistic" if len(classes) == 2 else "softmax"
        return self
