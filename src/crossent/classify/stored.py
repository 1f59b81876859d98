"""What a run's files may hold: a stranger's folder is read by these rules, and anything else is refused.

The check is written out here rather than left to a schema library: it is forty lines, its messages name the file, and
half of what must hold, such as that the weights have as many numbers as the options describe, no schema can say.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossent._system import files
from crossent.errors import CrossentError, DataError, RunFolderError

from .calibration import COLDEST, HOTTEST
from .reading.table import one_line

if TYPE_CHECKING:
    import torch

    from .options import TrainingOptions

__all__ = [
    "check_metrics",
    "check_settings",
    "check_tensors",
    "check_values",
    "damage",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_tensors",
]

FORMAT = "crossent run 1"
MOST_JSON, MOST_TENSORS = 1 << 28, 1 << 36  # bytes
HEADER = 8  # bytes of safetensors' length of its JSON
Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_plain(value: Any) -> bool:
    """A value of the command line: text, number, flag, none, or a list of texts and numbers."""
    items = value if isinstance(value, list) else [value]
    return all(item is None or isinstance(item, bool | str) or _is_number(item) for item in items)


def _are_classes(value: Any) -> bool:
    return isinstance(value, list) and len(value) == len(set(map(str, value))) >= 2 and all(map(_is_text, value))


SETTINGS: dict[str, Check] = {
    "command": _is_text,
    "arguments": lambda value: isinstance(value, dict) and all(map(_is_plain, value.values())),
    "options": lambda value: isinstance(value, dict),  # TrainingOptions checks them
    "target": _is_text,
    "classes": _are_classes,
    "inputs": lambda value: _is_count(value) and value > 0,
    "picture_shape": lambda value: value is None or (isinstance(value, list) and all(map(_is_count, value))),
    "fingerprint": _is_text,
    "versions": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
}
RECORD: dict[str, Check] = {
    "epoch": _is_count,
    "loss": _is_number,
    "held_out_loss": lambda value: value is None or _is_number(value),
    "held_out_accuracy": lambda value: value is None or _is_number(value),
    "seconds": _is_number,
}
VALUES: dict[str, Check] = {  # of a checkpoint
    "options": lambda value: isinstance(value, dict),
    "n_features": _is_count,
    "n_classes": _is_count,
    "history": lambda value: isinstance(value, list) and all(map(_is_record, value)),
    "best_loss": lambda value: value is None or _is_number(value),
    "best_epoch": _is_count,
    "epochs_without_progress": _is_count,
}


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == RECORD.keys() and all(RECORD[key](value[key]) for key in value)


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Raise a RunFolderError unless settings are of this version and have all that they must have, and nothing odd."""
    if settings.get("format") != FORMAT:
        raise RunFolderError(f"{path} is not of the format {FORMAT!r} but {settings.get('format')!r}")
    _check(path, settings, SETTINGS, optional={"picture_shape", "versions"})


def check_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Raise a RunFolderError unless the temperature is one that a calibration gives."""
    temperature = metrics.get("temperature")
    if not isinstance(temperature, float) or not COLDEST <= temperature <= HOTTEST:
        raise RunFolderError(f"{path} is damaged: its 'temperature' is {temperature!r:.60}")


def check_values(path: Path, values: Mapping[str, Any]) -> None:
    """Raise a RunFolderError unless a checkpoint has a training's counters and history."""
    _check(path, values, VALUES)
    if [record["epoch"] for record in values["history"]] != list(range(1, len(values["history"]) + 1)):
        raise RunFolderError(f"{path} is damaged: its 'history' has not every epoch once")


def _check(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Check], optional: set[str] | None = None) -> None:
    """Every entry is there, and is what it must be."""
    for key, holds in wanted.items():
        if key not in found and key in (optional or ()):
            continue
        if key not in found or not holds(found[key]):
            raise RunFolderError(f"{path} is damaged: its {key!r} is {found.get(key)!r:.60}")


def check_tensors(
    tensors: Mapping[str, torch.Tensor], options: TrainingOptions, inputs: int, classes: int, only_network: bool
) -> None:
    """Raise a DataError unless tensors are finite numbers of the options' dtype, as many as the network has."""
    for name, tensor in tensors.items():
        if name == "generator":
            continue
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype != ("float32" if name.startswith("step.") else options.dtype):
            raise DataError(f"{name} has dtype {dtype}, not {options.dtype}")
        if not bool(tensor.isfinite().all()):
            raise DataError(f"{name} holds NaN or infinity")
    sizes = (inputs, *options.hidden_layer_sizes, 1 if classes == 2 else classes)
    wanted = sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(sizes))
    prefix = "" if only_network else "network."
    found = sum(tensor.numel() for name, tensor in tensors.items() if name.startswith(prefix))
    if found != wanted:
        raise DataError(f"it has {found} weights, the network that its options describe has {wanted}")


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a safetensors file: the tensors, and the texts beside them."""
    from safetensors.torch import load

    with damage(path):
        data = read_bytes(path, MOST_TENSORS)
        tensors = load(data)  # checks the header, too
        length = int.from_bytes(data[:HEADER], "little")
        return tensors, json.loads(data[HEADER : HEADER + length]).get("__metadata__", {})


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object."""
    with damage(path):
        content = parse_json(read_bytes(path, MOST_JSON).decode())
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: it holds no JSON object")
    return content


def parse_json(text: str) -> Any:
    """Parse JSON as the standard has it: no NaN, no infinity, no name twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) != len(pairs):
            raise ValueError("a name stands twice in it")
        return content

    def refuse(constant: str) -> Any:
        raise ValueError(f"it holds {constant}, which is no number in JSON")

    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


def read_bytes(path: Path, most: int) -> bytes:
    """The bytes of a regular file of no more than so many."""
    if files.regular_file(path) > most:
        raise ValueError(f"it has more than {most >> 20} MiB")
    return path.read_bytes()


@contextlib.contextmanager
def damage(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is read becomes one sentence that names it."""
    try:
        yield
    except RunFolderError:
        raise
    except CrossentError as error:
        raise RunFolderError(f"{path} does not fit its run: {error}") from error
    except Exception as error:  # readers of JSON, UTF-8 and tensors each have their own
        raise RunFolderError(f"{path} is damaged: {one_line(error)}") from error
