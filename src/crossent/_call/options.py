"""The options of a loss: one frozen object that travels inward, its ranges checked here and nowhere else."""

from __future__ import annotations

import dataclasses
import inspect
import math
import operator
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, get_type_hints

from .._definition import Array, namespace
from ..errors import OptionError, UnknownOptionError
from .arrays import FLOATS, INTEGERS, dtype_name, readable, values

if TYPE_CHECKING:
    Function = TypeVar("Function", bound=Callable[..., Any])


class LossOptions(TypedDict, total=False):
    """The keyword arguments of `cross_entropy` and its relatives, as type checkers and editors see them."""

    ignore_index: int
    reduction: str
    label_smoothing: float
    axis: int | None
    where: Array
    sample_weight: Array
    z_loss: float
    logit_scale: float
    softcap: float | None
    temperature: float
    poly1_epsilon: float
    denominator: Array
    on_empty: str
    dtype: Any
    inplace: bool
    check: bool | str


class NLLOptions(TypedDict, total=False):
    """The same of `nll_loss`."""

    ignore_index: int
    reduction: str
    axis: int | None
    sample_weight: Array
    denominator: Array
    on_empty: str
    dtype: Any
    check: bool | str


class FocalOptions(NLLOptions, total=False):
    """The same of `focal_loss`."""

    alpha: Array
    gamma: float
    label_smoothing: float
    where: Array
    temperature: float


class StatsOptions(TypedDict, total=False):
    """The same of `row_stats`."""

    ignore_index: int
    label_smoothing: float
    axis: int | None
    where: Array
    sample_weight: Array
    z_loss: float
    logit_scale: float
    softcap: float | None
    temperature: float
    poly1_epsilon: float
    dtype: Any
    check: bool | str
    extra: bool
    top_k: int | None


class LayerOptions(TypedDict, total=False):
    """What all losses of a linear layer take."""

    linear_bias: Array
    weight: Array
    ignore_index: int | None
    label_smoothing: float
    where: Array
    sample_weight: Array
    z_loss: float
    logit_scale: float
    softcap: float | None
    temperature: float
    poly1_epsilon: float
    dtype: Any
    check: bool | str
    shift: int
    chunk_size: int | None


class LinearStatsOptions(LayerOptions, total=False):
    """The same of `linear_row_stats`."""

    extra: bool
    top_k: int | None


class LinearOptions(LayerOptions, total=False):
    """The same of `linear_cross_entropy_with_grad`."""

    reduction: str
    denominator: Array
    on_empty: str


class LinearLossOptions(LinearOptions, total=False):
    """The same of `linear_cross_entropy`."""

    recompute: bool
    return_stats: bool
    extra: bool
    top_k: int | None


class SelectionOptions(TypedDict, total=False):
    """The same of `selective_log_softmax`."""

    linear_bias: Array
    ignore_index: int
    where: Array
    logit_scale: float
    softcap: float | None
    temperature: float
    dtype: Any
    check: bool | str
    chunk_size: int | None


class ProbabilityOptions(TypedDict, total=False):
    """The same of `binary_cross_entropy`."""

    pos_weight: Array
    reduction: str
    label_smoothing: float
    ignore_index: int | None
    sample_weight: Array
    denominator: Array
    on_empty: str
    dtype: Any
    check: bool | str


class BinaryOptions(ProbabilityOptions, total=False):
    """The same of `binary_cross_entropy_with_logits`."""

    softcap: float | None
    temperature: float


class SigmoidFocalOptions(TypedDict, total=False):
    """The same of `sigmoid_focal_loss`."""

    alpha: float | None
    gamma: float
    reduction: str
    label_smoothing: float
    ignore_index: int | None
    sample_weight: Array
    temperature: float
    denominator: Array
    on_empty: str
    dtype: Any
    check: bool | str


@dataclasses.dataclass(frozen=True)
class Options:
    """What every loss takes; `validated` has checked the ranges."""

    weight: Array = None
    ignore_index: int = -100  # None in the binary losses, unless given
    reduction: str = "mean"
    label_smoothing: float = 0.0
    axis: int | None = None
    where: Array = None
    sample_weight: Array = None
    pos_weight: Array = None
    z_loss: float = 0.0
    logit_scale: float = 1.0
    softcap: float | None = None
    temperature: float = 1.0
    denominator: Array = None
    on_empty: str = "nan"
    dtype: Any = None
    inplace: bool = False
    check: bool | str = "auto"
    linear_bias: Array = None
    shift: int = 0
    chunk_size: int | None = None
    recompute: bool = True
    return_stats: bool = False
    extra: bool = False
    top_k: int | None = None
    poly1_epsilon: float = 0.0
    alpha: Array = None  # 0.25 in sigmoid_focal_loss, unless given
    gamma: float = 2.0

    @property
    def asked(self) -> frozenset[str]:
        """The options that were asked for and that a room has to take; see backends.room."""
        names = []
        for name, default in TAKEN_BY_ROOMS:
            value = getattr(self, name)
            if value is not None and value is not default and (default is None or value != default):
                names.append(name)
        return frozenset(names)


# What is done around a room: at the door, in the reduction, in the walk over chunks. All else a room must take.
AROUND = frozenset((
    "logit_scale", "axis", "reduction", "denominator", "on_empty", "dtype", "inplace", "check",
    "linear_bias", "shift", "chunk_size", "recompute", "return_stats", "extra", "top_k",
))  # fmt: skip
TAKEN_BY_ROOMS = [(field.name, field.default) for field in dataclasses.fields(Options) if field.name not in AROUND]

# what has another default in some functions: torch's binary losses ignore nothing, torchvision's reduces nothing
DEFAULTS: dict[type, dict[str, Any]] = {
    ProbabilityOptions: {"ignore_index": None},
    BinaryOptions: {"ignore_index": None},
    SigmoidFocalOptions: {"ignore_index": None, "reduction": "none", "alpha": 0.25},
}

CHOICES: dict[str, tuple[object, ...]] = {
    "reduction": ("none", "mean", "sum"),
    "on_empty": ("nan", "zero", "raise"),
    "check": ("auto", True, False),
    "inplace": (True, False),
    "recompute": (True, False),
    "return_stats": (True, False),
    "extra": (True, False),
}

LARGEST = sys.float_info.max

# name: (does it hold, what is wanted)
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "label_smoothing": (lambda v: 0 <= v <= 1, "between 0.0 and 1.0"),
    "z_loss": (lambda v: 0 <= v < math.inf, "0 or a positive number"),
    "softcap": (lambda v: v is None or 0 < v < math.inf, "None or a positive number"),
    "logit_scale": (lambda v: 0 < v < math.inf, "a positive number"),
    "temperature": (lambda v: 0 < v < math.inf, "a positive number"),
    "poly1_epsilon": (lambda v: -math.inf < v < math.inf, "a finite number"),
    "gamma": (lambda v: 0 <= v < math.inf, "0 or a positive number"),
    "ignore_index": (lambda v: -(2**63) <= operator.index(v) < 2**63, "an integer of at most 64 bits"),
    "shift": (lambda v: type(v) is int and v >= 0, "0 or a positive whole number"),
    "top_k": (lambda v: v is None or (type(v) is int and v > 0), "None or a positive whole number of classes"),
    "chunk_size": (lambda v: v is None or (type(v) is int and v > 0), "None or a positive whole number of rows"),
}


def names(allowed: type) -> dict[str, Any]:
    """The keyword arguments of a TypedDict, those it inherits included."""
    return dict(allowed.__annotations__)


def in_range(function: str, name: str, value: Any) -> Any:
    """A number in its range, as Python's own; what is no number is refused too."""
    test, wanted = RANGES[name]
    try:
        number = value if value is None or isinstance(value, (int, float)) else value.item()
        if test(number) and (name == "ignore_index" or abs(number or 0) <= LARGEST):
            return number
    except (TypeError, ValueError, OverflowError, AttributeError, RuntimeError):
        pass
    raise OptionError(f"{function}: {name}={value!r}, expected {wanted}")


def _unknown(function: str, name: str, given: Mapping[str, Any], allowed: type) -> UnknownOptionError:
    """The error for a name that is no option; torch's old two of the reduction are told in the words of today."""
    if name in ("size_average", "reduce"):
        sums, reduces = given.get("size_average"), given.get("reduce")
        today = "none" if reduces is not None and not reduces else "sum" if sums is not None and not sums else "mean"
        text = f"{function}: {name}={given[name]!r} is torch's spelling before 2018"
        return UnknownOptionError(f"{text}, and deprecated there: use reduction={today!r}")
    import difflib

    near = difflib.get_close_matches(name, names(allowed), 1)
    hint = f": did you mean {near[0]}?" if near else ""
    return UnknownOptionError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def validated(function: str, weight: Array, given: Mapping[str, Any], allowed: type) -> Options:
    """The options of a call, each in its range; an unknown name raises TypeError, as in any Python call."""
    own = {**DEFAULTS.get(allowed, {}), **given}
    for name, value in given.items():
        if name not in names(allowed):
            raise _unknown(function, name, given, allowed)
        if name in RANGES and not (name == "ignore_index" and value is None and allowed in DEFAULTS):
            own[name] = in_range(function, name, value)
    options = Options(weight=weight, **own)
    for name, choices in CHOICES.items():
        value = getattr(options, name)
        if not isinstance(value, (str, bool)) or value not in choices:
            wanted = ", ".join(repr(choice) for choice in choices)
            raise OptionError(f"{function}: {name}={value!r}, expected one of {wanted}")
    if (options.extra or options.top_k) and "return_stats" in names(allowed) and not options.return_stats:
        asked = "extra=True" if options.extra else f"top_k={options.top_k}"
        raise OptionError(f"{function}: {asked} tells more of each row: it needs return_stats=True")
    if options.denominator is not None and options.reduction != "mean":
        text = f"{function}: denominator divides the mean, but reduction={options.reduction!r}"
        raise OptionError(f"{text}: drop denominator, or use reduction='mean'")
    check_denominator(options.denominator)
    return options


def _number(x: Array) -> float:
    """The number in a readable array of one element."""
    x = values(x)
    return float(namespace(x).reshape(x, ()))


def check_denominator(given: Any) -> None:
    """A caller's denominator is not negative, as far as it can be read; a mean's own divisor may be."""
    if isinstance(given, (int, float)):
        if not 0 <= given < LARGEST:
            raise OptionError(f"denominator={given!r}, expected a number that is not negative")
    elif (
        isinstance(getattr(given, "shape", None), tuple)
        and math.prod(given.shape) == 1
        and dtype_name(given.dtype) in (*FLOATS, *INTEGERS)
    ):
        number = _number(given) if readable(given) else 0.0
        if not 0 <= number < math.inf:
            raise OptionError(f"denominator holds {number}, expected a number that is not negative")


def signature_of(allowed: type) -> Callable[[Function], Function]:
    """Give a function that takes **options the signature that help() and editors show, written once in Options."""

    def decorate(function: Function) -> Function:
        own = inspect.signature(function)
        defaults = {field.name: field.default for field in dataclasses.fields(Options)} | DEFAULTS.get(allowed, {})
        keyword = inspect.Parameter.KEYWORD_ONLY
        fixed = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        extra = [
            inspect.Parameter(name, keyword, default=defaults[name], annotation=hint)
            for name, hint in get_type_hints(allowed).items()
        ]
        function.__signature__ = own.replace(parameters=[*fixed, *extra])  # type: ignore[attr-defined]  # any function has room
        return function

    return decorate


def shown(**defaults: Any) -> Callable[[Function], Function]:
    """Give a function the signature that help() shows: these defaults, without the second names at its end."""

    def decorate(function: Function) -> Function:
        own = inspect.signature(function)
        named = [p for p in own.parameters.values() if p.name not in ("dim", "keepdim")]
        parameters = [p.replace(default=defaults.get(p.name, p.default)) for p in named]
        function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # any function has room
        return function

    return decorate
