"""Functions of the libraries: what softmax, exp, one_hot and the rest make of their arguments."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from . import judge, keras, sklearn, transformers
from .attributes import item_of
from .created import ELEMENTWISE, created
from .kept import calm_result, joined, kept
from .layers import make_layer
from .machine import Machine
from .names import BOUNDED, FUNCTIONS, LOSSES, canonical
from .operations import mark_threshold, reshaped
from .values import (
    PROBABILITIES,
    UNKNOWN,
    Api,
    Args,
    Constant,
    Function,
    Instance,
    Items,
    Layer,
    Mapping,
    Partial,
    Root,
    Tensor,
    Value,
    tensor,
)

__all__ = ["apply", "call_api"]


def call_api(machine: Machine, name: str, args: Args, node: ast.Call) -> Value:
    """What a function or class of a library gives."""
    name = canonical(name)
    if name in LOSSES:
        return judge.loss_of(machine, LOSSES[name], args, node, name=name)
    if name in FUNCTIONS:
        x = args.get(0, "input", "x", "logits", "a", "axis_tensor", "tensor", "inputs")
        return apply(machine, FUNCTIONS[name], name, x, args, node)
    action = SPECIAL.get(name) or SPECIAL.get(f"*.{name.rpartition('.')[2]}")
    if action is not None:
        return action(machine, args, node)
    if name.startswith(("keras.", "tensorflow.layers.", "tensorflow.contrib.", "tf_slim.")):
        made = keras.call(machine, name, args, node)
        if made is not None:
            return made
    array = created(machine, name, args, node)
    if array is not None:
        return array
    return _other(machine, name, args, node)


SHAPED = ("torch", "numpy", "jax", "tensorflow", "keras", "einops", "crossent", "linen", "scipy")


def _other(machine: Machine, name: str, args: Args, node: ast.Call) -> Value:
    """A function that is neither softmax nor loss: it keeps what its argument is, or makes something new."""
    root, last = name.split(".", maxsplit=1)[0], name.rpartition(".")[2]
    x = _argument(args, last)
    if root in SHAPED and isinstance(x, Tensor):
        value = kept(x, last, args, method=False)
        if value is not None:
            return value
    known = transformers.made(machine, name, args, node) or sklearn.made(machine, name, args, node)
    if known is not None:
        return known
    made = make_layer(machine, name, args, node)
    if isinstance(made, Tensor) and not made.kind:
        judge.handed_over(machine, args, node)
        if root in SHAPED and last in ELEMENTWISE and isinstance(x, Tensor):
            return tensor(bounded=last in BOUNDED, ndim=x.ndim)
        if last in BOUNDED or (last[:1].islower() and calm_result(last) and root != "builtins"):
            return tensor(bounded=True)
    return made


def _argument(args: Args, last: str) -> Value | None:
    """The tensor that a function is about; of where(condition, x, y) x and y; of a list what they have in common."""
    if last == "where" and len(args.positional) == 3:
        first, second = args.positional[1:]
        return first if isinstance(first, Tensor) and first.kind else second
    x = args.get(0, "input", "x", "a", "tensor", "value", "inputs", "data", "operand", "arr", "ary", "m")
    return joined(x) if isinstance(x, Items) else x


def apply(machine: Machine, what: str, name: str, x: Value | None, args: Args, node: ast.Call) -> Value:
    """An operation on a tensor."""
    if what == "stack":
        return _stack(x)
    if not isinstance(x, Tensor):
        x = tensor()
    framework = name.split(".", maxsplit=1)[0]
    place = machine.place(node)
    if what in ("softmax", "log_softmax"):
        return judge.softmax(machine, what, name, x, args, node)
    if what in ("sigmoid", "log_sigmoid"):
        return tensor(what, place, width=x.width, ndim=x.ndim, framework=framework, one_unit=x.one_unit)
    if what == "log":
        return judge.log(machine, x, node)
    if what == "exp":
        return _exp(machine, x, node, framework)
    if what in ("sum", "maximum"):
        return _sum(x, what, place)
    if what == "argmax":
        return tensor("label", place, floating=False, framework=framework)
    if what == "max":
        return Items((tensor(origins=x.origins), tensor("label", place, floating=False, framework=framework)))
    if what == "round":
        mark_threshold(machine, x, node)
        return tensor("label", place) if x.kind in (*PROBABILITIES, "linear") else tensor()
    if what == "clip":
        return replace(x, guarded=True) if x.kind in PROBABILITIES else tensor("difference", bounded=True)
    if what == "gather":
        return reshaped(x, whole=False, root=Root()) if x.kind in (*PROBABILITIES, "log_softmax") else tensor()
    return x if what == "same" else reshaped(x, width=x.width if x.kind != "fresh" else None)


def _exp(machine: Machine, x: Tensor, node: ast.Call, framework: str) -> Value:
    """exp(x), remembered by the text of x; `guarded` where x cannot be large."""
    if x.kind == "log_softmax":
        return tensor("softmax", machine.place(node), framework=framework, width=x.width)
    calm = x.bounded or (
        x.kind in ("shifted", "minus", "difference", *PROBABILITIES, "log_sigmoid", "fresh", "index") or not node.args
    )
    text = ast.dump(node.args[0]) if node.args else ""
    tame = node.args and _is_tame(node.args[0])
    return tensor("exp", machine.place(node), of=text, guarded=calm or bool(tame), framework=framework)


def _is_tame(node: ast.expr) -> bool:
    """Whether an exponent has something that may keep it small: a difference, a minus, a choice."""
    for inner in ast.walk(node):
        if isinstance(inner, (ast.USub, ast.Sub, ast.IfExp)):
            return True
    return isinstance(node, (ast.Constant, ast.List, ast.Tuple))


def _sum(x: Tensor, what: str, place: Any) -> Value:
    """The sum of exponentials, the largest score."""
    if what == "maximum":
        return tensor("maximum", place)
    if x.kind == "exp":
        return replace(x, kind="sum_exp", root=Root())
    return tensor()


def _stack(x: Value | None) -> Value:
    """Tensors of one kind, put together, are of that kind."""
    if not isinstance(x, Items) or (not x.items and x.rest is None):
        return tensor()
    result = joined(x)
    return reshaped(result, width=None, root=Root()) if isinstance(result, Tensor) else tensor()


def _tensor_from(machine: Machine, args: Args, node: ast.Call) -> Value:
    """torch.tensor(numbers): labels or targets that are known, or a tensor cut off from its graph."""
    x = args.get(0, "data", "object", "value")
    if isinstance(x, Items) and len(x.items) == 1 and isinstance(x.items[0], Tensor):
        x = x.items[0]
    if isinstance(x, Tensor) and x.kind in ("loss", "linear", "softmax", "sigmoid", "log_softmax"):
        wants = args.constant(None, "requires_grad") is True
        return replace(x, detached=machine.place(node) if wants or x.kind == "loss" else None, root=Root())
    numbers = _numbers(x)
    if numbers is None:
        return tensor()
    flat = numbers if not isinstance(numbers[0], list) else [n for row in numbers for n in row]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in flat) and args.get(1, "dtype") is None
    if isinstance(numbers[0], list):
        return tensor("fresh", machine.place(node), width=len(numbers[0]), ndim=2, floating=not whole, of=numbers)
    if whole:
        return tensor(
            "index", machine.place(node), floating=False, top=max(flat), low=min(flat), ndim=1, width=len(flat)
        )
    return tensor("fresh", machine.place(node), width=len(numbers), ndim=1, floating=True)


def _numbers(x: Value | None) -> list[Any] | None:
    """A list of numbers, or of lists of numbers of one length."""
    if not isinstance(x, Items) or not x.exact or not x.items:
        return None
    if all(isinstance(item, Constant) and isinstance(item.value, (int, float)) for item in x.items):
        return [item.value for item in x.items if isinstance(item, Constant)]
    rows = [_numbers(item) for item in x.items]
    if any(row is None or isinstance(row[0], list) for row in rows):
        return None
    lists = [row for row in rows if row is not None]
    return lists if len({len(row) for row in lists}) == 1 else None


def _random_labels(machine: Machine, args: Args, node: ast.Call) -> Value:
    """torch.randint(low, high, size), or (high, size)."""
    shape = args.get(2, "size")
    low, high = args.constant(0, "low"), args.constant(1, "high")
    if not isinstance(args.get(2), Items) and isinstance(args.get(1), Items):
        low, high, shape = 0, args.constant(0, "high"), args.get(1, "size")
    known = isinstance(high, int) and isinstance(low, int)
    ndim = len(shape.items) if isinstance(shape, Items) and shape.exact else None
    return tensor(
        "index",
        machine.place(node),
        floating=False,
        top=high - 1 if known else None,
        low=low if known else None,
        ndim=ndim,
    )


def _one_hot(machine: Machine, args: Args, node: ast.Call) -> Value:
    """torch's one_hot is of integers."""
    return tensor(
        "one_hot", machine.place(node), floating=False, framework="torch", width=_int(args.constant(1, "num_classes"))
    )


def _categorical(machine: Machine, args: Args, node: ast.Call) -> Value:
    """Keras' to_categorical is of floating numbers."""
    del args
    return tensor("one_hot", machine.place(node), floating=True, framework="keras")


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _partial(machine: Machine, args: Args, node: ast.Call) -> Value:
    del machine, node
    if not args.positional:
        return UNKNOWN
    return Partial(args.positional[0], Args(args.positional[1:], args.keywords, args.node, args.exact))


def _transformed(wrap: str) -> Callable[[Machine, Args, ast.Call], Value]:
    def transform(machine: Machine, args: Args, node: ast.Call) -> Value:
        del machine
        of = args.get(0, "f", "fun", "func", "module", "model")
        return UNKNOWN if of is None else Partial(of, Args((), {}, node), wrap)

    return transform


def _itself(machine: Machine, args: Args, node: ast.Call) -> Value:
    """A wrapper that behaves as what it wraps: DataParallel, torch.compile, jax.jit."""
    del machine, node
    return args.get(0, "module", "model", "fun", "func", "f") or UNKNOWN


def _list(machine: Machine, args: Args, node: ast.Call) -> Value:
    del machine, node
    x = args.get(0)
    return x if isinstance(x, Items) else UNKNOWN


def _ordered(machine: Machine, args: Args, node: ast.Call) -> Value:
    """OrderedDict([(name, value), …]) and dict(name=value)."""
    del machine, node
    x = args.get(0)
    if isinstance(x, Mapping):
        return x
    pairs = x.items if isinstance(x, Items) and x.exact else ()
    items: dict[Any, Value] = dict(args.keywords)
    for pair in pairs:
        if not (isinstance(pair, Items) and len(pair.items) == 2 and isinstance(pair.items[0], Constant)):
            return UNKNOWN
        items[pair.items[0].value] = pair.items[1]
    return Mapping(items) if items or x is None else UNKNOWN


def _record(machine: Machine, args: Args, node: ast.Call) -> Value:
    """An object that keeps its keyword arguments: TrainState.create(apply_fn=…), SimpleNamespace(…)."""
    del machine, node
    return Mapping(dict(args.keywords), record=True)


def _getattr(machine: Machine, args: Args, node: ast.Call) -> Value:
    name = args.constant(1)
    return (
        item_of(machine, args.positional[0], name, node) if isinstance(name, str) and len(args.positional) else UNKNOWN
    )


def _setattr(machine: Machine, args: Args, node: ast.Call) -> Value:
    del node
    name, owner = args.constant(1), args.get(0)
    if isinstance(name, str) and isinstance(owner, (Instance, Layer)) and len(args.positional) == 3:
        machine.store(owner.number, name, args.positional[2])
    return Constant(None)


def _enumerate(machine: Machine, args: Args, node: ast.Call) -> Value:
    del machine, node
    x = args.get(0)
    if isinstance(x, Items) and x.exact:
        return Items(tuple(Items((Constant(index), item)) for index, item in enumerate(x.items)))
    return UNKNOWN


def _transform_with_haiku(machine: Machine, args: Args, node: ast.Call) -> Value:
    """hk.transform(f): its apply is f without the first two arguments."""
    del machine
    of = args.get(0)
    return (
        Mapping({"apply": Partial(of, Args((), {}, node), "haiku")}, record=True)
        if isinstance(of, Function)
        else UNKNOWN
    )


def _loss_number(machine: Machine, args: Args, node: ast.Call) -> Value:
    """float(loss)."""
    x = args.get(0)
    return replace(x, detached=machine.place(node)) if isinstance(x, Tensor) and x.kind == "loss" else UNKNOWN


def _map_fn(machine: Machine, args: Args, node: ast.Call) -> Value:
    """tree_map and such: the function is run for its mistakes."""
    of = args.get(0)
    if isinstance(of, (Function, Partial)):
        machine.call(of, Args((), {}, node, exact=False), node)
    return UNKNOWN


def _keep(machine: Machine, args: Args, node: ast.Call) -> Value:
    """accelerator.prepare(model, optimizer, …) gives what it was given."""
    del machine, node
    return args.positional[0] if len(args.positional) == 1 else Items(args.positional, args.exact)


def _trainer(model: tuple[int | None, str], loss: tuple[int | None, str]) -> Callable[[Machine, Args, ast.Call], Value]:
    """An object that will train a model with a loss: Learner(dls, model, loss_func=…)."""

    def make(machine: Machine, args: Args, node: ast.Call) -> Value:
        judge.trainer(machine, args.get(*model), args.get(*loss), node)
        return UNKNOWN

    return make


SPECIAL: dict[str, Callable[[Machine, Args, ast.Call], Value]] = {
    **dict.fromkeys(("torch.tensor", "torch.as_tensor", "torch.Tensor", "torch.FloatTensor"), _tensor_from),
    **dict.fromkeys(("torch.LongTensor", "torch.from_numpy", "numpy.array", "numpy.asarray"), _tensor_from),
    **dict.fromkeys(("jax.numpy.array", "jax.numpy.asarray"), _tensor_from),
    "torch.randint": _random_labels,
    "torch.nn.functional.one_hot": _one_hot,
    "keras.utils.to_categorical": _categorical,
    "keras.utils.np_utils.to_categorical": _categorical,
    "functools.partial": _partial,
    "jax.value_and_grad": _transformed("value_and_grad"),
    "*.filter_value_and_grad": _transformed("value_and_grad"),
    "jax.grad": _transformed("grad"),
    "*.filter_grad": _transformed("grad"),
    "jax.vmap": _transformed(""),
    "torch.vmap": _transformed(""),
    "torch.func.grad": _transformed("grad"),
    **dict.fromkeys(("jax.jit", "jax.pmap", "jax.checkpoint", "*.filter_jit", "tensorflow.function"), _itself),
    **dict.fromkeys(
        ("torch.compile", "torch.jit.script", "torch.nn.DataParallel", "*.DistributedDataParallel"), _itself
    ),
    **dict.fromkeys(("torch.optim.swa_utils.AveragedModel", "copy.deepcopy", "copy.copy"), _itself),
    **dict.fromkeys(("builtins.list", "builtins.tuple", "torch.nn.ModuleList"), _list),
    **dict.fromkeys(("collections.OrderedDict", "builtins.dict", "torch.nn.ModuleDict"), _ordered),
    **dict.fromkeys(("types.SimpleNamespace", "*.TrainState", "flax.training.train_state.TrainState.create"), _record),
    "builtins.getattr": _getattr,
    "builtins.setattr": _setattr,
    "builtins.enumerate": _enumerate,
    "builtins.float": _loss_number,
    "haiku.transform": _transform_with_haiku,
    "haiku.without_apply_rng": _itself,
    "jax.tree_util.tree_map": _map_fn,
    "jax.lax.scan": _map_fn,
    "*.prepare": _keep,
    "fastai.vision.all.Learner": _trainer((1, "model"), (2, "loss_func")),
    "fastai.learner.Learner": _trainer((1, "model"), (2, "loss_func")),
    "fastai.basics.Learner": _trainer((1, "model"), (2, "loss_func")),
    "skorch.NeuralNetClassifier": _trainer((0, "module"), (None, "criterion")),
    "skorch.NeuralNet": _trainer((0, "module"), (1, "criterion")),
    "skorch.NeuralNetBinaryClassifier": _trainer((0, "module"), (None, "criterion")),
    "ignite.engine.create_supervised_trainer": _trainer((0, "model"), (2, "loss_fn")),
}


def _checkpoint(machine: Machine, args: Args, node: ast.Call) -> Value:
    """checkpoint(f, x) gives f(x)."""
    if not args.positional or isinstance(args.positional[0], Api):
        return tensor()
    return machine.call(args.positional[0], Args(args.positional[1:], {}, node, args.exact), node)


SPECIAL["torch.utils.checkpoint.checkpoint"] = _checkpoint
