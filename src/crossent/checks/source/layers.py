"""Layers and models of the libraries: made by their constructor, called on tensors, put together in sequences."""

from __future__ import annotations

import ast
from typing import Any

from . import judge, keras
from .created import ELEMENTWISE
from .kept import kept
from .machine import Machine
from .names import LOSS_LAYERS
from .operations import reshaped
from .sequences import parts_of, run_parts
from .values import UNKNOWN, Args, Items, Layer, Tensor, Value, tensor

__all__ = ["apply_layer", "make_layer"]

PASSING = [
    "Identity",
    "Dropout",
    "Dropout2d",
    "Dropout1d",
    "Dropout3d",
    "Upsample",
    "PixelShuffle",
    "ChannelShuffle",
    "ZeroPad2d",
    "AlphaDropout",
    "Linear",
    "Flatten",
    "Unflatten",
    "Softmax",
    "Softmax2d",
    "LogSoftmax",
    "Sigmoid",
    "LogSigmoid",
    "Sequential",
    "LSTM",
    "GRU",
    "RNN",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "LazyLinear",
    "Bilinear",
    "Embedding",
]
NO_LAYERS = (
    "Parameter",
    "Module",
    "ModuleList",
    "ModuleDict",
    "ParameterList",
    "ParameterDict",
    "DataParallel",
    "Buffer",
)
HEADS = ("fc", "classifier", "head", "heads")
BACKBONES = [
    "resnet",
    "resnext",
    "wide_resnet",
    "vgg",
    "densenet",
    "alexnet",
    "mobilenet",
    "efficientnet",
    "shufflenet",
    "mnasnet",
    "regnet",
    "convnext",
    "vit_",
    "swin",
]
SEQUENCES = ("Sequential", "SequentialModel")


def make_layer(machine: Machine, name: str, args: Args, node: ast.Call) -> Value:
    """An object of a library's class that matters here; nothing for the others."""
    last = name.rpartition(".")[2]
    place = machine.place(node)
    if name in LOSS_LAYERS:
        return Layer(name, args, place)
    if name.startswith(("torch.nn.", "linen.", "haiku.", "equinox.nn.")) and last in (*PASSING, "Dense", "Conv"):
        return _noted(machine, Layer(name, args, place), last, args, node)
    if name.startswith("torch.nn.") and name.count(".") == 2 and last[:1].isupper() and last not in NO_LAYERS:
        return Layer(name, args, place)
    if name.startswith(("torchvision.models.", "timm.create_model")) and _has_head(name, args):
        return Layer("model", args, place)
    return tensor()


def _noted(machine: Machine, layer: Layer, last: str, args: Args, node: ast.Call) -> Layer:
    """Keep the parts of a sequence."""
    del node
    if last in SEQUENCES:
        machine.store(layer.number, "#parts", parts_of(args))
    return layer


def _has_head(name: str, args: Args) -> bool:
    first = args.constant(0, "model_name")
    called = first if name == "timm.create_model" and isinstance(first, str) else name.rpartition(".")[2]
    return str(called).startswith(tuple(BACKBONES))


def apply_layer(machine: Machine, layer: Layer, args: Args, node: ast.Call) -> Value:
    """layer(x)."""
    if layer.name in LOSS_LAYERS:
        return judge.loss_of(machine, LOSS_LAYERS[layer.name], args, node, name=layer.name, layer=layer)
    if layer.name.startswith("keras."):
        return keras.apply_layer(machine, layer, args, node)
    last = layer.name.rpartition(".")[2]
    x = args.get(0, "input", "x", "inputs")
    if last in SEQUENCES:
        parts = machine.attribute(layer.number, "#parts")
        return run_parts(machine, parts, x or tensor(), node) if isinstance(parts, Items) else tensor()
    if layer.name == "model":
        return _model(machine, layer, node)
    return _single(machine, layer, last, x if isinstance(x, Tensor) else tensor(), node)


def _single(machine: Machine, layer: Layer, last: str, x: Tensor, node: ast.Call) -> Value:
    """One layer on one tensor."""
    if last in ("Softmax", "Softmax2d", "LogSoftmax"):
        what = "log_softmax" if last == "LogSoftmax" else "softmax"
        return judge.softmax(
            machine, what, layer.name, x, layer.args, node, place=layer.place, call=machine.place(node)
        )
    if last in ("Sigmoid", "LogSigmoid"):
        kind = "sigmoid" if last == "Sigmoid" else "log_sigmoid"
        return tensor(kind, layer.place, width=x.width, ndim=x.ndim, framework="torch", one_unit=x.one_unit)
    if last in ("Linear", "LazyLinear", "Dense", "Bilinear"):
        return linear(layer, x)
    if last.startswith("Conv"):
        return tensor("linear", layer.place, width=_width(layer.args.constant(1, "out_channels")))
    if last in ("LSTM", "GRU", "RNN"):
        return Items((tensor("", ndim=3), UNKNOWN))
    if last == "Flatten":
        return reshaped(x, ndim=2 if not layer.args.positional and not layer.args.keywords else None)
    if last.startswith(("Dropout", "AlphaDropout", "Upsample", "ZeroPad", "ChannelShuffle", "PixelShuffle")):
        return kept(x, "dropout", Args((), {}), method=True) or tensor(ndim=x.ndim)
    if last == "Identity":
        return x
    return tensor(ndim=x.ndim) if last in ELEMENTWISE else tensor()


def linear(layer: Layer, x: Tensor) -> Tensor:
    """The logits of a linear layer, and how many there are."""
    last = layer.name.rpartition(".")[2]
    index, names = (
        (1, ("out_features",)) if last in ("Linear", "Bilinear") else (0, ("features", "units", "out_features"))
    )
    if layer.name.startswith("haiku."):
        index, names = 0, ("output_size",)
    if last == "Bilinear":
        index = 2
    width = _width(layer.args.constant(index, *names))
    unit = layer.place if width == 1 else None
    column = width == 1 and (x.ndim or 0) > 1
    return tensor("linear", layer.place, width=width, ndim=x.ndim, one_unit=unit, column=column)


def _width(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _model(machine: Machine, layer: Layer, node: ast.Call) -> Value:
    """A model with a head that may have been replaced."""
    for name in HEADS:
        head = machine.attribute(layer.number, name)
        if isinstance(head, Items):
            return run_parts(machine, head, tensor(), node)
        if head is not None:
            return machine.call(head, Args((tensor(ndim=2),), {}, node), node) if head is not UNKNOWN else tensor()
    return tensor()
