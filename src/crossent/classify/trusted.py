"""A run's preprocessing, read so that a stranger's file is safe: the types and parameters that `fit` writes alone.

skops builds no type that it does not know and runs no pickle; but it knows all of scikit-learn, of which some parts
open the files that the data name, start processes or keep caches. So the archive is measured before it is unpacked,
every node of its description must be one of those below, and what is built must have the parameters that `fit` gives.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossent.errors import DataError

from . import preprocessing
from .stored import damage, read_bytes

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer

__all__ = ["load_transformer"]

MOST_FILE, MOST_CONTENT, MOST_ENTRIES, MOST_DEPTH = 1 << 28, 1 << 30, 1 << 20, 60  # bytes, bytes, files, levels
SCHEMA = "schema.json"
ESTIMATORS = {
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.feature_extraction.text.TfidfTransformer",
    "sklearn.feature_extraction.text.TfidfVectorizer",
    "sklearn.impute._base.SimpleImputer",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.MinMaxScaler",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._encoders.OneHotEncoder",
}
SETTINGS = {"_sklearn_output_config", "_metadata_request"}  # which change what an estimator gives
SCALARS = {"builtins." + name for name in ("str", "int", "float", "bool", "object")} | {
    "numpy." + name for name in ("float64", "float32", "int64", "int32", "bool", "bool_", "object_", "str_")
}
NODES = {
    "ObjectNode": ESTIMATORS,
    "DictNode": {"builtins.dict"},
    "ListNode": {"builtins.list"},
    "TupleNode": {"builtins.tuple"},
    "SliceNode": {"builtins.slice"},
    "JsonNode": {"builtins.str"},
    "TypeNode": SCALARS,
    "DTypeNode": {"numpy.dtype"},
    "NdArrayNode": SCALARS | {"numpy.ndarray"},
}


def load_transformer(path: Path) -> ColumnTransformer:
    """Load the transformer of a run.

    Raises:
        RunFolderError: damaged; larger than any that `fit` makes; of other types or parameters than `fit` writes.
    """
    import skops.io

    with damage(path):
        data = read_bytes(path, MOST_FILE)
        _check_archive(data)
        transformer = skops.io.loads(data, trusted=["numpy.dtype"])
        _check_transformer(transformer)
    return transformer


def _check_archive(data: bytes) -> None:
    """The archive is small when it is unpacked, and describes nothing but what `fit` writes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if len(members) > MOST_ENTRIES or sum(member.file_size for member in members) > MOST_CONTENT:
            raise DataError(f"it unpacks to more than {MOST_CONTENT >> 20} MiB or {MOST_ENTRIES} files")
        if len({member.filename for member in members}) != len(members):
            raise DataError("a name stands twice in it")
        schema = json.loads(archive.read(SCHEMA))
    ours = _protocol()
    if schema.get("protocol") not in range(2, ours + 1):  # older ones are read by rules of their own
        raise DataError(f"it is of skops' protocol {schema.get('protocol')!r}; 2 to {ours} are read")
    unknown = sorted({node for node in _nodes(schema) if node})
    if unknown:
        raise DataError(f"it holds objects that are not trusted: {', '.join(unknown[:8])}")


def _protocol() -> Any:
    """The protocol that this version of skops writes."""
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(None))) as archive:
        return json.loads(archive.read(SCHEMA))["protocol"]


def _nodes(schema: Any, depth: int = 0) -> Iterator[str]:
    """The name of every node that `fit` does not write, "" for the others."""
    if depth > 4 * MOST_DEPTH:
        raise DataError("it is nested too deeply")
    if isinstance(schema, dict):
        if "__loader__" in schema or "__class__" in schema:
            name = f"{schema.get('__module__')}.{schema.get('__class__')}"
            known = NODES.get(str(schema.get("__loader__")), ())
            yield "" if name in known else f"{name} ({schema.get('__loader__')})"
        for value in schema.values():
            yield from _nodes(value, depth + 1)
    elif isinstance(schema, list):
        for value in schema:
            yield from _nodes(value, depth + 1)


def _check_transformer(transformer: Any) -> None:
    """Every transformer, and the fitted one beside it, has the type and the parameters of its kind."""
    from sklearn.compose import ColumnTransformer

    if type(transformer) is not ColumnTransformer:
        raise DataError(f"it holds a {type(transformer).__name__}, not a run's preprocessing")
    _check_parameters(transformer, preprocessing.joined([]), "transformers")
    templates = preprocessing.templates()
    fitted = [step for step in transformer.transformers_ if step[0] != "remainder"]
    if [step[0] for step in fitted] != [step[0] for step in transformer.transformers]:
        raise DataError("its fitted steps are not its steps")
    for name, step, columns in (*transformer.transformers, *fitted):
        template = templates.get(str(name).split(" ")[0])
        if template is None:
            raise DataError(f"it holds a step {name!r}")
        names = [columns] if isinstance(columns, str) else columns
        if not isinstance(names, list) or not names or not all(isinstance(column, str) for column in names):
            raise DataError(f"the columns of its step {name!r} are not names")
        _check_step(step, template)


def _check_step(step: Any, template: Any) -> None:
    """A step is of the type of its template, in all its parts."""
    if type(step) is not type(template):
        raise DataError(f"it holds a {type(step).__name__} where a {type(template).__name__} belongs")
    inner = "steps" if hasattr(template, "steps") else ""
    _check_parameters(step, template, inner)
    if inner:
        if [name for name, _ in step.steps] != [name for name, _ in template.steps]:
            raise DataError("its pipeline has other steps")
        for (_, one), (_, other) in zip(step.steps, template.steps, strict=True):
            _check_step(one, other)


def _check_parameters(step: Any, template: Any, but: str) -> None:
    """Parameters are those of the template; nothing that is stored hides a method."""
    found, wanted = (one.get_params(deep=False) for one in (step, template))
    for name in wanted.keys() - {but}:
        if repr(found.get(name)) != repr(wanted[name]):
            raise DataError(f"its {type(step).__name__} has {name}={found.get(name)!r:.60}, not {wanted[name]!r}")
    hidden = [name for name in vars(step) if name not in wanted and (name in SETTINGS or hasattr(type(step), name))]
    if hidden:
        raise DataError(f"its {type(step).__name__} stores {hidden[0]!r}, which is no result of a fit")
