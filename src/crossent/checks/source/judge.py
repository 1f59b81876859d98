"""The verdicts: a loss with what it is given, a softmax with its axis, a logarithm with its argument, a backward."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import Any

from .machine import Machine
from .names import LOSS_LAYERS, LOSSES, Loss, canonical
from .values import PROBABILITIES, Api, Args, Class, Instance, Layer, Place, Root, Tensor, Value, tensor

__all__ = ["backward", "guesses", "handed_over", "log", "loss_of", "mean", "softmax", "trainer", "verdict"]


DIVERGENCES = ("kl_div", "KLDivLoss")


@dataclass(frozen=True)
class Given:
    """What a loss's value remembers of the loss: does it ignore targets, and is it a mean."""

    ignores: bool
    mean: bool
    rows: bool = False  # a loss for each row


def loss_of(
    machine: Machine, loss: Loss, args: Args, node: ast.Call, *, name: str = "", layer: Layer | None = None
) -> Value:
    """A call of a loss: everything about it is looked at."""
    x, target = args.get(*_position(loss.input)), args.get(*_position(loss.target))
    options = args if layer is None else layer.args
    if loss.takes == "from_logits":
        loss = loss._replace(takes=_keras_takes(options, layer))
    if isinstance(x, Tensor):
        verdict(machine, loss, x, node, name=name, made=machine.place(node) if layer is None else layer.place)
        if name.endswith(DIVERGENCES) and isinstance(target, Tensor):
            _divergence(machine, x, target, options, node, name)
        if isinstance(target, Tensor):
            _target(machine, loss, x, target, options, node)
        _weights(machine, loss, x, options, node)
    ignores = options.get(None, "ignore_index") is not None
    reduction = options.constant(None, "reduction", default="mean")
    given = Given(ignores, reduction == "mean", reduction == "none")
    if isinstance(x, Tensor) and not x.kind and x.guess:
        machine.guesses.append((loss, x, machine.place(node), name))
    cut = x.detached if isinstance(x, Tensor) else None
    return tensor("loss", machine.place(node), detached=cut, of=given, certain=not isinstance(x, Tensor) or x.certain)


def _position(where: tuple[int, tuple[str, ...]]) -> tuple[Any, ...]:
    return (where[0], *where[1])


def _keras_takes(options: Args, layer: Layer | None) -> str:
    index = 0 if layer is not None else 2
    given = options.constant(index, "from_logits", default=False)
    return "logits" if given is True else "probabilities" if given is False else "unknown"


def verdict(
    machine: Machine, loss: Loss, x: Tensor, node: ast.AST | Place, *, name: str = "", made: Place | None = None
) -> None:
    """Whether a loss is given what it takes."""
    rule = _mistake(loss, x, name)
    if rule is not None:
        certain = x.certain and (rule != "X010" or x.kind == "linear")
        machine.find(rule, node, x.place, certain=certain, loss=made, value=x)
    if loss.binary and loss.takes == "logits" and x.kind not in PROBABILITIES:
        place = node if isinstance(node, Place) else machine.place(node)
        x.root.logits = x.root.logits or place
        thresholds = list(x.root.thresholds)
        if x.kind == "linear" and x.place is not None and not x.touched:
            machine.logits.setdefault(x.place, place)
            thresholds += machine.thresholds.get(x.place, [])
        for threshold in dict.fromkeys(thresholds):
            machine.find("X026", threshold, place)


def _mistake(loss: Loss, x: Tensor, name: str) -> str | None:
    """The rule that a loss and its input break."""
    if x.kind == "label":
        return "X012"
    if loss.takes == "logits" and loss.binary:
        return "X004" if x.kind in PROBABILITIES else None
    if loss.takes == "logits":
        return _classes_from_logits(x)
    if loss.takes == "log_probabilities" and name.endswith(DIVERGENCES):
        return "X029" if x.kind == "softmax" else None
    if loss.takes == "log_probabilities" and x.whole:
        return {"softmax": "X005", "sigmoid": "X005", "linear": "X006"}.get(x.kind)
    if loss.takes == "probabilities":
        if x.kind == "sigmoid" and loss.framework == "torch" and loss.binary:
            return "X028"
        return "X007" if x.kind == "linear" else None
    return None


def _divergence(machine: Machine, x: Tensor, target: Tensor, options: Args, node: ast.AST, name: str) -> None:
    """Targets of the Kullback-Leibler loss: probabilities, or their logarithms if log_target says so."""
    logarithms = options.constant(4 if name.endswith("kl_div") else None, "log_target", default=False)
    if (logarithms is True and target.kind == "softmax") or (logarithms is False and target.kind == "log_softmax"):
        given, wanted = ("probabilities", "logarithms") if logarithms else ("logarithms", "probabilities")
        detail = f"the targets are {given}, and log_target={logarithms} wants {wanted}"
        if x.kind != "softmax":
            machine.find("X029", node, target.place, certain=target.certain, detail=detail)


def _classes_from_logits(x: Tensor) -> str | None:
    if x.one_unit is not None and x.whole:
        return "X010"
    if not x.whole:
        return None
    return {"softmax": "X001", "sigmoid": "X002", "log_softmax": "X003"}.get(x.kind)


def _target(machine: Machine, loss: Loss, x: Tensor, target: Tensor, options: Args, node: ast.AST) -> None:
    """Whether the targets fit."""
    if loss.framework != "torch":
        return
    if loss.binary:
        if loss.takes != "log_probabilities" and target.kind == "one_hot" and target.floating is False:
            machine.find("X013", node, target.place)
        if (x.ndim == 1 and target.column) or (x.column and target.ndim == 1):
            machine.find("X018", node)
        return
    if target.kind == "one_hot" and target.floating is False and target.framework == "torch":
        machine.find("X013", node, target.place)
    elif target.kind in ("index", "label") and target.floating and target.place is not None:
        machine.find("X014", node, target.place)
    if target.column and not (target.kind == "fresh" and target.floating):
        machine.find("X016", node, certain=x.ndim == 2 or target.ndim == 2)
    if target.top is not None and x.width is not None and target.top >= x.width:
        ignored = options.constant(None, "ignore_index", default=-100)
        if ignored is not ... and ignored != target.top:
            machine.find("X015", node, detail=f"the largest label is {target.top}, the model has {x.width} outputs")
    if x.kind == "linear" and x.ndim == 3 and target.column is False:
        machine.find("X017", node, x.place, certain=target.ndim == 2)
    _distribution(machine, x, target, node)


def _distribution(machine: Machine, x: Tensor, target: Tensor, node: ast.AST) -> None:
    """Written-out probability targets whose rows do not sum to 1."""
    if target.kind != "fresh" or not isinstance(target.of, list) or not target.floating or x.width != target.width:
        return
    for row in target.of:
        if min(row) < 0 or abs(sum(row) - 1) > 1e-2:
            machine.find("X024", node, target.place, detail=f"the row {row} sums to {sum(row):g}")
            return


def _weights(machine: Machine, loss: Loss, x: Tensor, options: Args, node: ast.AST) -> None:
    """Class weights: one for each class."""
    weight = options.get(0 if isinstance(options.node, ast.Call) and _is_layer(options) else 2, "weight")
    if (
        loss.binary
        or loss.framework != "torch"
        or not isinstance(weight, Tensor)
        or weight.kind not in ("fresh", "index")
    ):
        return
    if weight.ndim == 1 and weight.width is not None and x.width is not None and weight.width != x.width and x.whole:
        detail = f"{weight.width} weights for {x.width} classes"
        machine.find("X023", node, weight.place, certain=x.kind == "linear" and x.ndim != 3, detail=detail)


def _is_layer(options: Args) -> bool:
    node = options.node
    name = getattr(node.func, "attr", getattr(node.func, "id", "")) if node is not None else ""
    return name.endswith("Loss")


# ---------------------------------------------------------------------- softmax and logarithm


def softmax(
    machine: Machine,
    what: str,
    name: str,
    x: Tensor,
    args: Args,
    node: ast.AST,
    *,
    place: Place | None = None,
    call: Place | None = None,
    method: bool = False,
) -> Value:
    """A softmax or log_softmax: its axis is looked at."""
    place = place or machine.place(node)
    torch = name.startswith("torch.nn.")
    axis: Any = -1
    if not name.endswith("2d"):
        index = 0 if method or (torch and name.rpartition(".")[2][0].isupper()) else 1
        axis = args.constant(index, "dim", "axis", default=None)
        if axis is None and args.exact and torch:
            machine.find("X008", place)
        axis = -1 if axis is None and not torch else axis
    if machine.project.uses is not None:
        machine.project.uses.axes[place] = axis
    _axis(machine, x, axis, place if call is None else call, place)
    return tensor(
        what,
        place,
        width=x.width,
        ndim=x.ndim,
        framework=name.split(".", maxsplit=1)[0],
        one_unit=None,
        axis=axis if isinstance(axis, int) else None,
    )


def _axis(machine: Machine, x: Tensor, axis: Any, node: Place, place: Place) -> None:
    if axis == 0 and x.ndim is not None and x.ndim >= 2 and x.kind == "linear":
        machine.find("X009", place, certain=x.ndim == 2)
    last = axis == -1 or (x.ndim is not None and axis == x.ndim - 1)
    if x.one_unit is not None and (last or axis == 1):
        machine.find("X011", place, x.one_unit, certain=last)
    del node


def log(machine: Machine, x: Tensor, node: ast.AST) -> Value:
    """A logarithm: of a softmax or sigmoid just made it has an exact form, of other probabilities it wants a guard."""
    if x.kind not in PROBABILITIES:
        return tensor("difference")
    own = x.framework in ("own", "scipy")
    if x.guarded and not own:
        machine.find("X034", node, x.place, certain=x.certain)
    elif not x.guarded:
        rule = "X022" if own else "X019" if x.kind == "softmax" else "X020"
        if not (x.complement and x.kind == "softmax" and not own):
            machine.find(rule, node, x.place, certain=x.certain)
    kind = "log_softmax" if x.kind == "softmax" and not x.complement else "log_sigmoid"
    return replace(x, kind=kind, root=Root(), one_unit=None)


# ---------------------------------------------------------------------- training


def backward(machine: Machine, x: Tensor, node: ast.Call) -> None:
    """A backward pass: of a loss that is still tied to the model, and not of a mean of means."""
    if x.kind not in ("loss", "linear", "softmax"):
        return
    if x.detached is not None:
        machine.find("X027", node, x.detached, certain=x.certain)
    if isinstance(x.of, tuple) and x.of[0] == "divided" and isinstance(x.of[1], Given):
        given = x.of[1]
        if given.mean and _accumulates(machine):
            machine.find("X025", node, x.place, certain=given.ignores)


def mean(machine: Machine, x: Tensor, node: ast.Call) -> Value:
    """loss.mean(): of losses that were kept row by row, with those of ignored rows."""
    given = x.of[1] if isinstance(x.of, tuple) else x.of
    if isinstance(given, Given) and given.rows:
        if given.ignores and not (node.args or node.keywords):
            machine.find("X033", node, x.place, certain=x.certain)
        return replace(x, of=Given(given.ignores, mean=True))
    return x


def _accumulates(machine: Machine) -> bool:
    """Whether the loop around steps only every so many batches."""
    if not machine.frame.loops:
        return False
    for inner in ast.walk(machine.frame.loops[-1].node):
        if isinstance(inner, ast.If) and any(isinstance(part, ast.Mod) for part in ast.walk(inner.test)):
            calls = [part.func for part in ast.walk(inner) if isinstance(part, ast.Call)]
            if any(isinstance(function, ast.Attribute) and function.attr == "step" for function in calls):
                return True
    return False


def trainer(machine: Machine, model: Value | None, loss: Value | None, node: ast.Call) -> None:
    """A model and the loss that a library will train it with."""
    name = loss.name if isinstance(loss, (Layer, Api)) else ""
    kind = LOSS_LAYERS.get(canonical(name))
    if kind is None or model is None:
        return
    if isinstance(model, Class):
        model = machine.call(model, Args((), {}, node, exact=False), node)
    if isinstance(model, (Instance, Layer)):
        out = machine.call(model, Args((tensor(),), {}, node), node)
        if isinstance(out, Tensor):
            skorch = isinstance(node.func, (ast.Name, ast.Attribute)) and "NLL" in name
            if not skorch:
                verdict(machine, kind, out, node, name=name)


LOSS_NAMES = ("loss", "criterion", "loss_fn", "loss_func", "loss_function", "objective", "loss_f")
MODEL_NAMES = ("model", "net", "module", "network", "classifier")


def handed_over(machine: Machine, args: Args, node: ast.Call) -> None:
    """A call of what nobody knows, which is given a model and a loss: it will perhaps train the one with the other."""
    values = [*args.positional, *args.keywords.values()]
    losses = [value for value in values if _loss_of(value) is not None]
    losses += [
        args.keywords[name] for name in LOSS_NAMES if name in args.keywords and args.keywords[name] not in losses
    ]
    models = [args.keywords[name] for name in MODEL_NAMES if name in args.keywords]
    models += [value for value in values if value not in losses and isinstance(value, (Instance, Layer))]
    loss = next((kind for kind in map(_loss_of, losses) if kind is not None), None)
    model = next((one for one in models if isinstance(one, (Instance, Layer))), None)
    if loss is None or model is None or machine.doubts > 2:
        return
    machine.doubts += 1
    out = machine.call(model, Args((tensor(),), {}, node), node)
    if isinstance(out, Tensor):
        verdict(machine, loss, out, node)
    machine.doubts -= 1


def _loss_of(value: Value) -> Loss | None:
    """The loss that a value is: an object, a class, or a function."""
    name = canonical(value.name) if isinstance(value, (Layer, Api)) else ""
    return LOSS_LAYERS.get(name) or LOSSES.get(name)


def guesses(machine: Machine) -> None:
    """A loss of what an unknown callable gave, in a file with a model that ends in a softmax: perhaps of its output."""
    for loss, _, place, name in machine.guesses:
        for ending in machine.endings:
            rule = _mistake(loss, ending, name)
            if rule is not None and (rule, place) not in machine.found:
                machine.find(rule, place, ending.place, certain=False)
                break
