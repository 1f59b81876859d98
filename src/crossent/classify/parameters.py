"""scikit-learn's parameters, translated into training options; weights and classes, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight

from crossent._call.numbers import real_number
from crossent.errors import DataError, OptionError

from .device import find_device
from .options import TrainingOptions
from .rows import check_weights

__all__ = [
    "as_class_weight",
    "checked_weights",
    "hold_out",
    "known_classes",
    "random_generator",
    "refuse_several_labels",
    "training_options",
    "two_or_more",
    "uses_lbfgs",
]

Array = npt.NDArray[Any]

NAMES = {  # in scikit-learn, where TrainingOptions has another
    "epochs": "max_iter",
    "learning_rate": "learning_rate_init",
    "patience": "n_iter_no_change",
    "tolerance": "tol",
}


def training_options(parameters: Mapping[str, Any], X: Any, *, seed: int, epochs_before: int) -> TrainingOptions:
    """Translate an estimator's parameters for a fit on X; an error names them as scikit-learn does."""
    batch_size: Any = min(200, X.shape[0]) if _is_auto(parameters["batch_size"]) else parameters["batch_size"]
    given: dict[str, Any] = {
        "hidden_layer_sizes": parameters["hidden_layer_sizes"],
        "epochs": parameters["max_iter"],
        "batch_size": batch_size,
        "learning_rate": parameters["learning_rate_init"],
        "weight_decay": parameters["weight_decay"],
        "label_smoothing": parameters["label_smoothing"],
        "early_stopping": parameters["early_stopping"],
        "stop_when_converged": not parameters["early_stopping"],
        "patience": parameters["n_iter_no_change"],
        "tolerance": parameters["tol"],
        "dtype": "float32" if _is_auto(parameters["dtype"]) else parameters["dtype"],
    }
    try:
        options = TrainingOptions(**given, seed=seed, device=parameters["device"])
    except OptionError as error:
        name, _, rest = str(error).partition(" ")
        raise OptionError(f"{NAMES.get(name, name)} {rest}") from None
    one_batch = X.shape[0] <= options.batch_size and find_device(options.device).type == "cpu"
    if _is_auto(parameters["dtype"]) and X.dtype == np.float64 and one_batch:
        options = dataclasses.replace(options, dtype="float64")
    return dataclasses.replace(options, epochs=options.epochs + epochs_before)


def _is_auto(value: Any) -> bool:
    """Whether a parameter is "auto"."""
    return isinstance(value, str) and value == "auto"


def random_generator(random_state: Any) -> np.random.RandomState:
    """Take scikit-learn's kinds of random_state, but for None a generator of its own, not NumPy's global one."""
    if random_state is None:
        return np.random.RandomState()
    generator: np.random.RandomState = check_random_state(random_state)
    return generator


def as_class_weight(class_weight: Any, classes: Array, y: Array) -> Any:
    """Turn a dict of weights into one number a class; leave None and "balanced" as they are."""
    if not isinstance(class_weight, dict):
        return class_weight
    return compute_class_weight(class_weight, classes=classes, y=y)


def known_classes(classes: Any, before: Array | None) -> Array:
    """Sort the labels that partial_fit is told of; after the first call they are those of before."""
    if classes is None:
        if before is None:
            raise DataError("classes must be passed on the first call to partial_fit: all labels that will ever come.")
        return before
    known = np.unique(classes)
    if before is not None and not np.array_equal(known, before):
        raise DataError(f"classes={known} is not the same as on the last call to partial_fit, {before}.")
    return two_or_more(known)


def two_or_more(classes: Any) -> Array:
    """Return the classes, or raise if there is nothing to tell apart."""
    if len(classes) < 2:
        raise DataError(f"y holds one class, {classes}: a classifier needs rows of two classes or more.")
    return np.asarray(classes)


def checked_weights(sample_weight: Any, indices: Array, classes: Array) -> Array | None:
    """Check the rows' weights, and that two classes are left where they are not 0."""
    if sample_weight is None:
        two_or_more(classes)
        return None
    weights: Array = check_weights(sample_weight, len(indices), "sample_weight").numpy()
    two_or_more(classes[np.unique(indices[weights > 0])])
    return weights


def hold_out(
    X: Any, indices: Array, weights: Array | None, fraction: Any, random: np.random.RandomState
) -> tuple[Any, Array, Array | None, tuple[Any, ...]]:
    """Split into training rows and held-out rows with the same mix of classes; a class of one row stays in training."""
    fraction = real_number("validation_fraction", fraction, above=0)
    given = np.ones(len(indices)) if weights is None else weights
    alone = np.bincount(indices)[indices] == 1
    shared = np.flatnonzero(~alone)
    try:
        kept, out = train_test_split(shared, test_size=fraction, stratify=indices[shared], random_state=random)
    except ValueError as error:
        raise DataError(
            f"early_stopping cannot hold out validation_fraction={fraction} of the rows: {error}"
        ) from error
    if alone.any():
        kept = np.concatenate([kept, np.flatnonzero(alone)])
    held_out = (X[out], indices[out], given[out])
    return X[kept], indices[kept], None if weights is None else given[kept], held_out


def uses_lbfgs(parameters: Mapping[str, Any]) -> bool:
    """Whether a fit is to be solved by L-BFGS: softmax regression, unless told otherwise."""
    solver, sizes = parameters["solver"], parameters["hidden_layer_sizes"]
    if solver not in ("auto", "adam", "lbfgs"):
        raise OptionError(f'solver must be "auto", "adam" or "lbfgs"; got {solver!r}.')
    real_number("C", parameters["C"] if parameters["C"] != np.inf else 1.0, above=0)
    linear = hasattr(sizes, "__len__") and len(sizes) == 0
    early = parameters["early_stopping"] is not False
    if solver == "lbfgs" and (not linear or early):
        why = "early_stopping watches epochs of Adam" if linear else f"hidden_layer_sizes={sizes!r} are for Adam"
        raise OptionError(f'solver="lbfgs" solves softmax regression alone, and {why}: take solver="auto".')
    return linear and not early and solver != "adam"


def refuse_several_labels(y: Any) -> None:
    """Raise for one row of labels a sample, with the way to one label each."""
    if hasattr(y, "tocsr"):
        raise DataError(
            "y is a sparse matrix of several labels a row: give one label each, y.argmax(axis=1) if one-hot."
        )
    more = "for several labels a sample take sklearn.multioutput.MultiOutputClassifier(SoftmaxClassifier())"
    try:
        values = np.asarray(y)
    except ValueError:
        binarizer = "on sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y)"
        raise DataError(
            f"y has lists of labels of several lengths, one label a row is needed: {more}, {binarizer}."
        ) from None
    shape = values.shape
    if len(shape) != 2 or shape[1] < 2:
        return
    text = f"y has shape {shape}, one label a row is needed"
    if values.dtype.kind in "biuf" and np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all():
        raise DataError(f"{text}: it is one-hot, so give y.argmax(axis=1).")
    raise DataError(f"{text}: if it is one-hot or holds probabilities, give y.argmax(axis=1); {more}.")
