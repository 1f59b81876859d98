"""scikit-learn's classifiers, and those that behave as they do: predict gives labels, decision_function scores."""

from __future__ import annotations

import ast

from .machine import Machine
from .values import Args, Layer, Value, tensor

__all__ = ["call_method", "made"]

ROOTS = ("sklearn", "xgboost", "lightgbm", "catboost", "imblearn")
MAKERS = ("make_pipeline", "clone")
ITSELF = ("fit", "set_params", "partial_fit")


def made(machine: Machine, name: str, args: Args, node: ast.Call) -> Value | None:
    """A classifier, a pipeline, a search over classifiers; None for what is none of them."""
    root, last = name.split(".", maxsplit=1)[0], name.rpartition(".")[2]
    if (
        root not in ROOTS
        or not (last[:1].isupper() or last in MAKERS)
        or "Regress" in last.replace("LogisticRegression", "")
    ):
        return None
    return Layer(f"sklearn.{last}", args, machine.place(node))


def call_method(machine: Machine, layer: Layer, name: str, node: ast.Call) -> Value:
    """clf.fit(…) is the classifier, clf.predict(X) labels, clf.decision_function(X) scores."""
    if name in ITSELF:
        return layer
    if name == "predict":
        return tensor("label", machine.place(node), framework="sklearn")
    if name == "decision_function":
        return tensor("linear", machine.place(node), framework="sklearn")
    return tensor()
