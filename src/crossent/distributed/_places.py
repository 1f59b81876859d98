"""Where a DTensor's rows and classes are: the groups that share them, and this rank's part of what goes with them."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

from .._call.arrays import describe
from .._call.options import Options
from .._door.rows import class_axis
from ..errors import ArrayTypeError, ClassIndexError, ShapeError


@dataclasses.dataclass(frozen=True)
class Places:
    """The mesh, the placements of logits (…, C, …), and which of their axes has the classes.

    `shape` is the whole logits'; `over` the dimension of the mesh whose ranks share the classes, or None.
    """

    mesh: Any
    placements: tuple[Any, ...]
    axis: int
    shape: tuple[int, ...]
    over: int | None
    device: Any

    @property
    def ndim(self) -> int:
        """The number of the logits' axes."""
        return len(self.shape)

    @property
    def classes(self) -> int:
        """C, over all ranks."""
        return self.shape[self.axis]

    @property
    def rows(self) -> tuple[int, ...]:
        """The shape of the rows of all ranks."""
        return (*self.shape[: self.axis], *self.shape[self.axis + 1 :])

    @property
    def group(self) -> Any:
        """The ranks that share the classes with this one."""
        return None if self.over is None else self.mesh.get_group(self.over)

    @property
    def row_groups(self) -> list[Any]:
        """The groups of ranks that have other rows, one a dimension of the mesh."""
        return [self.mesh.get_group(k) for k, _ in self._row_shards()]

    def _row_shards(self) -> list[tuple[int, int]]:
        """(dimension of the mesh, sharded axis of the logits) where rows are sharded."""
        shards = [(k, p.dim) for k, p in enumerate(self.placements) if isinstance(p, Shard)]
        return [(k, axis) for k, axis in shards if axis != self.axis]

    def everywhere(self) -> list[Any]:
        """The placements of what every rank has."""
        return [Replicate() for _ in self.placements]

    def _of_rows(self) -> list[Any]:
        """The placements of what there is one a row."""
        own = self.everywhere()
        for k, axis in self._row_shards():
            own[k] = Shard(axis - (axis > self.axis))
        return own

    def _of_classes(self) -> list[Any]:
        """The placements of what there is one a class."""
        own = self.everywhere()
        if self.over is not None:
            own[self.over] = Shard(0)
        return own

    # --- this rank's part of the arguments ---

    def is_dense(self, target: Any) -> bool:
        """Whether the target is one of probabilities."""
        return tuple(target.shape) == self.shape

    def targets(self, target: Any) -> Tensor:
        """The rank's part of the target."""
        return laid(target, self.mesh, list(self.placements) if self.is_dense(target) else self._of_rows())

    def of_call(self, function: str, x: DTensor, target: Any, options: Options) -> tuple[Any, dict[str, Any]]:
        """(the rank's part of the target, and of the options that are arrays)."""
        if target is not None:
            if not isinstance(target, Tensor):
                target = torch.as_tensor(target)
            if tuple(target.shape) not in (self.shape, self.rows):
                text = f"{function}: target is {describe(target)}, expected {self.rows} or {self.shape}"
                fix = "a plain tensor is the target of all ranks' rows, a DTensor may be sharded as they are"
                raise ShapeError(f"{text} for the DTensor input {describe(x)}: {fix}")
            dense, target = self.is_dense(target), self.targets(target)
            target = self.padded(target) if dense else target
        named: dict[str, Any] = {}
        if options.weight is not None:
            named["weight"] = self.padded(laid(options.weight, self.mesh, self._of_classes()), 0)
        if options.where is not None:
            named["where"] = self._mask(options.where)
        if options.sample_weight is not None:
            named["sample_weight"] = laid(options.sample_weight, self.mesh, self._of_weights(options.sample_weight))
        if isinstance(options.denominator, DTensor):
            named["denominator"] = options.denominator.full_tensor()
        return target, named

    def _mask(self, where: Any) -> Tensor:
        """The rank's part of `where`, (C,) or of a shape that broadcasts to the logits'."""
        where = where if isinstance(where, Tensor) else torch.as_tensor(where)
        if where.ndim == 1 and where.shape[0] == self.classes:
            return self.padded(laid(where, self.mesh, self._of_classes()), 0)
        own, less = self.everywhere(), self.ndim - where.ndim
        for k, placement in enumerate(self.placements):
            if isinstance(placement, Shard) and placement.dim >= less and where.shape[placement.dim - less] != 1:
                own[k] = Shard(placement.dim - less)
        part = laid(where, self.mesh, own)
        return self.padded(part, self.axis - less) if self.axis >= less else part

    def _of_weights(self, weight: Any) -> list[Any]:
        """The placements of sample_weight, shaped like the rows or (N,)."""
        if tuple(weight.shape) == self.rows:
            return self._of_rows()
        return [p if isinstance(p, Shard) and p.dim == 0 else Replicate() for p in self._of_rows()]

    def sample_weights(self, weight: Any, like: Tensor) -> Tensor:
        """The rank's part of sample_weight, to be multiplied with one number a row."""
        own = laid(weight, self.mesh, self._of_weights(weight)).double()
        return own.reshape(*own.shape, *(1 for _ in range(like.ndim - own.ndim)))

    def local_rows(self, target: Tensor, dense: bool) -> tuple[int, ...]:
        """The shape of this rank's rows, from its part of the target."""
        shape = tuple(target.shape)
        return (*shape[: self.axis], *shape[self.axis + 1 :]) if dense else shape

    def padded(self, x: Tensor, axis: int | None = None) -> Tensor:
        """The rank's columns; a column that is no class where it has none."""
        axis = self.axis if axis is None else axis
        if self.over is None or x.shape[axis]:
            return x
        shape = list(x.shape)
        shape[axis] = 1
        return torch.cat([x, x.new_zeros(shape)], dim=axis)

    def own_indices(self, function: str, y: Tensor, ignored: int, columns: int) -> Tensor:
        """Class indices as those of this rank's columns, −100 where a class is elsewhere."""
        live = y != ignored
        bad = live & ((y < 0) | (y >= self.classes))
        if bad.is_cpu and bool(bad.any()):
            text = f"{function}: target holds {int(y[bad][0])}, but there are {self.classes} classes"
            raise ClassIndexError(f"{text} (0 … {self.classes - 1}) on all ranks")
        if self.over is None:
            return torch.where(live, y, -100)
        each = -(-self.classes // self.mesh.size(self.over))
        y = y - min(self.mesh.get_local_rank(self.over) * each, self.classes)
        return torch.where(live & (y >= 0) & (y < columns), y, -100)

    def parameters(self, weight: DTensor, bias: Any) -> tuple[Tensor, Any]:
        """(the rank's rows of the weight and of the bias); their gradient is summed over ranks with other rows."""
        rows = {k for k, _ in self._row_shards()}
        own = [Partial() if k in rows else placement for k, placement in enumerate(self._of_classes())]
        if bias is not None:
            bias = self.padded(Part.apply(distributed_as(bias, self.mesh, self._of_classes()), own), 0)  # type: ignore[no-untyped-call]
        return self.padded(Part.apply(weight, own), 0), bias  # type: ignore[no-untyped-call]

    # --- the results ---

    def rows_of(self, value: Tensor, *, split: bool = False) -> DTensor:
        """Numbers of this rank's rows as a DTensor placed as the rows are."""
        own, tail = self._of_rows(), tuple(value.shape[len(self.rows) :])
        shape = torch.Size((*self.rows, *tail))
        if shape != value.shape and not any(isinstance(p, Shard) for p in own):
            shape = value.shape  # shifted
        stride = torch.empty(shape, device="meta").stride()
        parts = [Partial() if split and k == self.over else p for k, p in enumerate(own)]
        made = DTensor.from_local(value, self.mesh, parts, run_check=False, shape=shape, stride=stride)
        return made.redistribute(placements=own) if split else made

    def summed(self, value: Tensor, *, split: bool) -> DTensor:
        """The sum of the ranks' parts, on every rank."""
        rows = {k for k, _ in self._row_shards()}
        parts = [Partial() if k in rows or (split and k == self.over) else Replicate() for k in range(self.mesh.ndim)]
        made = DTensor.from_local(value, self.mesh, parts, run_check=False)
        return made.redistribute(placements=self.everywhere())


def distributed_as(value: Any, mesh: Any, placements: list[Any]) -> DTensor:
    """A DTensor of these placements; a plain tensor is the same on every rank."""
    if not isinstance(value, DTensor):
        value = value if isinstance(value, Tensor) else torch.as_tensor(value)
        value = DTensor.from_local(value, mesh, [Replicate()] * mesh.ndim, run_check=False)
    if value.device_mesh != mesh:
        text = f"a DTensor on the mesh {value.device_mesh}, but input is on {mesh}"
        raise ArrayTypeError(f"{text}: give both on one mesh, or .full_tensor()")
    made: DTensor = value
    return made if list(made.placements) == placements else made.redistribute(placements=placements)


def laid(value: Any, mesh: Any, placements: list[Any]) -> Tensor:
    """The rank's part of a value under these placements."""
    return distributed_as(value, mesh, placements).to_local()


def local_of(x: DTensor) -> Tensor:
    """The rank's part; its gradient is this part's own."""
    return x.to_local(grad_placements=x.placements)


def _known(placement: Any, ndim: int) -> Any:
    """A shard with its axis counted from the front, or Replicate: for what is neither the whole is gathered."""
    return Shard(placement.dim % ndim) if type(placement) is Shard else Replicate()


def of_logits(function: str, x: DTensor, axis: int | None) -> tuple[DTensor, Places]:
    """The logits, at most one dimension of the mesh over their classes, and their places."""
    axis, over, own = class_axis(function, x, axis), None, []
    for k, placement in enumerate(_known(p, x.ndim) for p in x.placements):
        if isinstance(placement, Shard) and placement.dim == axis:
            over, placement = (k, placement) if over is None else (over, Replicate())  # noqa: PLW2901
        own.append(placement)
    x = distributed_as(x, x.device_mesh, own)
    return x, Places(x.device_mesh, tuple(own), axis, tuple(x.shape), over, x.to_local().device)


def of_layer(function: str, x: DTensor, weight: Any, shift: int) -> tuple[DTensor, DTensor, Places]:
    """The layer's input and weight with one dimension of the mesh at most over its classes, and its logits' places.

    Where a dimension shards the input's rows and the weight's, the smaller of them is gathered.
    """
    mesh = x.device_mesh
    if len(getattr(weight, "shape", ())) != 2:
        raise ShapeError(f"{function}: linear_weight is {describe(weight)}, expected (C, D) beside a DTensor input")
    given = weight.placements if isinstance(weight, DTensor) else [Replicate()] * mesh.ndim
    rows, shared, over = [], [], None
    for k, placement in enumerate(_known(p, x.ndim) for p in x.placements):
        last = isinstance(placement, Shard) and (placement.dim == x.ndim - 1 or (shift and placement.dim == x.ndim - 2))
        own, classes = Replicate() if last else placement, given[k] == Shard(0) and over is None
        if classes and isinstance(own, Shard):
            classes = x.numel() < weight.numel()
            own = Replicate() if classes else own
        over = k if classes else over
        rows.append(own)
        shared.append(Shard(0) if classes else Replicate())
    x, weight = distributed_as(x, mesh, rows), distributed_as(weight, mesh, shared)
    shape = (*x.shape[:-1], weight.shape[0])
    return (
        x,
        weight,
        Places(mesh, (*_with_classes(rows, over, x.ndim - 1),), x.ndim - 1, shape, over, x.to_local().device),
    )


def _with_classes(rows: list[Any], over: int | None, axis: int) -> list[Any]:
    """The placements of the logits of such rows."""
    return [Shard(axis) if k == over else placement for k, placement in enumerate(rows)]


class Part(torch.autograd.Function):
    """The rank's part of a DTensor; what the ranks have of its gradient is summed where `pending` says so."""

    @staticmethod
    def forward(ctx: Any, x: DTensor, pending: list[Any]) -> Tensor:
        """Nothing is exchanged."""
        ctx.mesh, ctx.placements, ctx.pending, ctx.form = x.device_mesh, x.placements, pending, (x.shape, x.stride())
        return x.to_local()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """One reduction for each dimension of the mesh whose ranks have other rows."""
        shape, stride = ctx.form
        made = DTensor.from_local(g, ctx.mesh, ctx.pending, run_check=False, shape=shape, stride=stride)
        return made.redistribute(placements=ctx.placements), None


class Whole(torch.autograd.Function):
    """The whole of a sharded parameter; its gradient is the mean of the ranks', as data parallel has it, sharded."""

    @staticmethod
    def forward(ctx: Any, x: DTensor) -> Tensor:
        """One all-gather."""
        ctx.mesh, ctx.placements = x.device_mesh, x.placements
        return x.full_tensor()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """One reduce-scatter."""
        parts = DTensor.from_local(g / ctx.mesh.size(), ctx.mesh, [Partial()] * ctx.mesh.ndim, run_check=False)
        return parts.redistribute(placements=ctx.placements)


def whole(x: Any) -> Any:
    """A parameter gathered; a plain one as it is."""
    return Whole.apply(x) if isinstance(x, DTensor) else x  # type: ignore[no-untyped-call]
