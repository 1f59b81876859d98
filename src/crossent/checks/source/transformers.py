"""Transformers' Trainer: a loss of one's own that forgets how a batch is counted."""

from __future__ import annotations

import ast

from .machine import Machine
from .values import UNKNOWN, Api, Args, Constant, Function, Layer, Mapping, Partial, Value, tensor

__all__ = ["loss_mapped", "made"]

COUNT = "num_items_in_batch"
SHIFTS = ("ForCausalLMLoss", "shift", "[..., 1:", "[:, 1:", "causal", "[..., :-1")


def made(machine: Machine, name: str, args: Args, node: ast.Call) -> Value | None:
    """Arguments of a training are remembered; a Trainer is looked at with its loss."""
    root, last = name.split(".", maxsplit=1)[0], name.rpartition(".")[2]
    if root not in ("transformers", "trl"):
        return None
    if last.endswith(("Arguments", "Config")) and last[:1].isupper():
        return Layer(f"transformers.{last}", args, machine.place(node))
    if name.endswith("LOSS_MAPPING.update"):
        more = args.get(0)
        for value in more.items.values() if isinstance(more, Mapping) else ():
            loss_mapped(machine, Api(name.removesuffix(".update")), value, node)
        return tensor()
    if last.endswith("Trainer"):
        _trainer(machine, args, node)
        return tensor()
    return None


def _trainer(machine: Machine, args: Args, node: ast.Call) -> None:
    """compute_loss_func under gradient accumulation must use the number of items in the whole batch."""
    loss = args.get(None, "compute_loss_func")
    of = loss.of if isinstance(loss, Partial) else loss
    if not isinstance(of, Function) or _counts(of.node):
        return
    steps = _steps(args.get(1, "args"))
    if steps != 1:
        machine.find("X031", node, None, certain=isinstance(steps, int))


def _steps(arguments: Value | None) -> int | None:
    """gradient_accumulation_steps; 1 where it is left out, None where it is not known."""
    if arguments is None or (isinstance(arguments, Constant) and arguments.value is None):
        return 1
    if not isinstance(arguments, Layer):
        return None
    steps = arguments.args.constant(None, "gradient_accumulation_steps", default=1)
    return steps if isinstance(steps, int) else None


def _counts(node: ast.AST) -> bool:
    """Whether a loss reads the number of items, by its name or as the third of its parameters, or hands it on."""
    names = {COUNT}
    spec = getattr(node, "args", None)
    if isinstance(spec, ast.arguments):
        parameters = [one.arg for one in [*spec.posonlyargs, *spec.args]]
        own = [name for name in parameters if name not in ("self", "cls")]
        names |= set(own[2:3])
        if spec.kwarg is not None:
            names.add(spec.kwarg.arg)
        if spec.vararg is not None:
            names.add(spec.vararg.arg)
    body = node.body if isinstance(node, ast.Lambda) else node
    reads = {n.id for n in ast.walk(body) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return bool(reads & names)


def loss_mapped(machine: Machine, owner: Value, value: Value, node: ast.AST) -> None:
    """LOSS_MAPPING[name] = a causal loss that is not ForCausalLMLoss itself."""
    if not (isinstance(owner, Api) and owner.name.endswith("LOSS_MAPPING")):
        return
    of = value.of if isinstance(value, Partial) else value
    if isinstance(of, Api):
        if isinstance(value, Partial) and of.name.endswith("ForCausalLMLoss"):
            machine.find("X032", node)
        return
    if isinstance(of, Function):
        lines = of.module.source.lines[of.node.lineno - 1 : of.node.end_lineno]
        machine.find("X032", node, certain=any(word in "\n".join(lines) for word in SHIFTS))
    elif of is not UNKNOWN:
        machine.find("X032", node, certain=False)
