"""Keras and TensorFlow layers: the activation in the last layer against the loss that compile() names."""

from __future__ import annotations

import ast

from . import judge
from .machine import Machine
from .names import LOSS_LAYERS, LOSSES, Loss, canonical
from .operations import reshaped
from .sequences import run_parts
from .values import NONE, UNKNOWN, Api, Args, Constant, Items, Layer, Tensor, Value, tensor

__all__ = ["apply_layer", "call", "call_method", "compiled"]

LAYERS = [
    "Dense",
    "Activation",
    "Softmax",
    "Dropout",
    "Flatten",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Sequential",
    "Model",
    "TimeDistributed",
]
FUNCTIONS = ("dense", "fully_connected", "linear")
LOSS_NAMES = {
    "categorical_crossentropy": "keras.losses.categorical_crossentropy",
    "sparse_categorical_crossentropy": "keras.losses.sparse_categorical_crossentropy",
    "binary_crossentropy": "keras.losses.binary_crossentropy",
}


def call(machine: Machine, name: str, args: Args, node: ast.Call) -> Value | None:
    """A layer or model of Keras, or a layer function of TensorFlow 1; None for what is neither."""
    last = name.rpartition(".")[2]
    if name.startswith("keras.") and last in LAYERS:
        layer = Layer(f"keras.{last}", args, machine.place(node))
        if last == "Sequential":
            first = args.get(0, "layers")
            machine.store(layer.number, "#parts", first if isinstance(first, Items) else Items((), exact=first is None))
        return layer
    if not name.startswith("keras.") and last in FUNCTIONS:
        return _dense_function(machine, last, args, node)
    return None


def _dense_function(machine: Machine, last: str, args: Args, node: ast.Call) -> Value:
    """tf.layers.dense(x, units, activation=…), slim.fully_connected(x, units), whose default activation is ReLU."""
    width = args.constant(1, "units", "num_outputs")
    default = Constant("relu") if last == "fully_connected" else NONE
    activation = args.get(2, "activation", "activation_fn") or (default if args.exact else UNKNOWN)
    place = machine.place(node)
    count = width if isinstance(width, int) else None
    return _activated(
        machine, tensor("linear", place, width=count, one_unit=place if count == 1 else None), activation, node
    )


def apply_layer(machine: Machine, layer: Layer, args: Args, node: ast.AST) -> Value:
    """layer(x)."""
    x = args.get(0, "inputs")
    given = x if isinstance(x, Tensor) else tensor()
    last = layer.name.removeprefix("keras.")
    if last == "Dense":
        units = layer.args.constant(0, "units")
        count = units if isinstance(units, int) and not isinstance(units, bool) else None
        out = tensor("linear", layer.place, width=count, one_unit=layer.place if count == 1 else None)
        return _activated(machine, out, _activation(layer.args, 1), node, layer)
    if last.startswith("Conv"):
        width = layer.args.constant(0, "filters")
        out = tensor("linear", layer.place, width=width if isinstance(width, int) else None)
        return _activated(machine, out, _activation(layer.args, None), node, layer)
    if last in ("Activation", "Softmax"):
        kind = Constant("softmax") if last == "Softmax" else layer.args.get(0, "activation") or UNKNOWN
        return _activated(machine, given, kind, node, layer)
    if last == "Dropout":
        return given if given.kind == "linear" else tensor()
    if last == "Flatten":
        return reshaped(given)
    if last == "Sequential":
        return _output(machine, layer)
    if last == "Model":
        return _output(machine, layer)
    return tensor()


def _activation(args: Args, index: int | None) -> Value:
    """The activation of a layer; None where none was given."""
    value = args.get(index, "activation")
    return value if value is not None else NONE if args.exact else UNKNOWN


def _activated(machine: Machine, x: Tensor, activation: Value, node: ast.AST, layer: Layer | None = None) -> Value:
    """What an activation makes of a layer's output."""
    place = machine.place(node) if layer is None else layer.place
    name = activation.value if isinstance(activation, Constant) else None
    if isinstance(activation, Api):
        name = canonical(activation.name).rpartition(".")[2]
    if activation == NONE or name == "linear":
        return x
    if name == "softmax":
        if x.one_unit is not None:
            machine.find("X011", place)
        return tensor("softmax", place, width=x.width, framework="keras")
    if name == "sigmoid":
        return tensor("sigmoid", place, width=x.width, framework="keras", one_unit=x.one_unit)
    if isinstance(activation, Layer):
        return apply_layer(machine, activation, Args((x,), {}), node)
    return tensor()


def _output(machine: Machine, layer: Layer) -> Value:
    """What a model ends in."""
    if layer.name == "keras.Model":
        out = layer.args.get(1, "outputs", "output")
        if isinstance(out, Items) and len(out.items) == 1:
            out = out.items[0]
        return out if isinstance(out, Tensor) else tensor()
    parts = machine.attribute(layer.number, "#parts")
    if not isinstance(parts, Items) or not parts.items:
        return tensor()
    node = layer.args.node or ast.Call(ast.Name("model", ast.Load()), [], [])
    return run_parts(machine, Items(parts.items, exact=False), tensor(), node)


def call_method(machine: Machine, layer: Layer, name: str, args: Args, node: ast.Call) -> Value:
    """model.add, compile, fit."""
    if name == "add" and args.positional:
        parts = machine.attribute(layer.number, "#parts")
        if isinstance(parts, Items):
            machine.store(layer.number, "#parts", Items((*parts.items, args.positional[0]), parts.exact))
        return NONE
    if name == "pop":
        machine.store(layer.number, "#parts", UNKNOWN)
    if name == "compile":
        loss = compiled(machine, _output(machine, layer), args, node)
        machine.store(layer.number, "#loss", Constant(loss) if loss is not None else NONE)
    if name == "fit":
        _fitted(machine, layer, args, node)
    if name in ("call", "__call__"):
        return _output(machine, layer)
    return tensor()


def compiled(machine: Machine, out: Value, args: Args, node: ast.Call) -> Loss | None:
    """compile(optimizer, loss, metrics): the loss against the model's output."""
    given = args.get(1, "loss")
    loss = _loss(given)
    if loss is None or not isinstance(out, Tensor):
        return loss
    if out.one_unit is not None and out.kind in ("linear", "sigmoid") and not loss.binary:
        machine.find("X010", node, out.place, certain=out.certain and loss.sparse is not None)
        return loss
    made = given.place if isinstance(given, Layer) else machine.place(node)
    judge.verdict(machine, loss._replace(framework="keras"), out, node, made=made)
    metrics = args.get(2, "metrics")
    names = [item.value for item in metrics.items if isinstance(item, Constant)] if isinstance(metrics, Items) else []
    if loss.binary and loss.takes == "logits" and out.kind == "linear" and out.one_unit and "accuracy" in names:
        machine.find("X026", node, out.place, certain=out.certain)
    return loss


def _loss(given: Value | None) -> Loss | None:
    """The loss that compile() was given: by name, as a function or as an object."""
    if isinstance(given, Items) and given.exact and len(given.items) == 1:
        given = given.items[0]
    if isinstance(given, Constant) and isinstance(given.value, str):
        name = LOSS_NAMES.get(given.value)
        return LOSSES[name]._replace(takes="probabilities") if name else None
    if isinstance(given, Api):
        loss = LOSSES.get(canonical(given.name))
        return loss._replace(takes="probabilities") if loss is not None and loss.takes == "from_logits" else None
    if isinstance(given, Layer) and given.name in LOSS_LAYERS:
        loss = LOSS_LAYERS[given.name]
        return loss._replace(takes=judge._keras_takes(given.args, given)) if loss.takes == "from_logits" else None
    return None


def _fitted(machine: Machine, layer: Layer, args: Args, node: ast.Call) -> None:
    """fit(x, y): one-hot labels do not go with the sparse loss."""
    stored = machine.attribute(layer.number, "#loss")
    y = args.get(1, "y")
    loss = stored.value if isinstance(stored, Constant) else None
    if isinstance(loss, Loss) and loss.sparse and isinstance(y, Tensor) and y.kind == "one_hot":
        machine.find("X013", node, y.place)
