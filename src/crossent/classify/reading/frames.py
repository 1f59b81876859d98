"""Tables that are not text: Parquet, Arrow and Feather, Excel, ARFF, and JSON with a record a line."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from crossent.errors import DataError, MissingDependencyError

from .encoding import decode
from .header import has_header
from .layout import NO_NAMES
from .opened import Opened, require_cells, require_room
from .options import ReadingOptions
from .table import Table, is_missing, named, not_a, one_line

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

NUMBER = 8  # bytes of a number, or of a reference to a text
OF_TEXT, OF_XML = 4, 4  # times the text, or a workbook's XML, is what its cells take

__all__ = ["read_arff", "read_arrow", "read_excel", "read_json", "read_parquet"]


def read_parquet(file: Opened) -> Table:
    """A Parquet file; its index, where pandas stored one, is left out."""
    return _from_arrow(file, "a Parquet", lambda: _unpacked_parquet(file))


def _unpacked_parquet(file: Opened) -> pa.Table:
    """The table, its texts as a dictionary until their length is known: ten kilobytes may be four gigabytes of text."""
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(file.stream()) as opened:
        known, schema = opened.metadata, opened.schema_arrow
        require_cells(file.path, known.num_rows, known.num_columns, NUMBER)
        groups = (known.row_group(place) for place in range(known.num_row_groups))
        require_room(
            file.path,
            sum(group.column(place).total_uncompressed_size for group in groups for place in range(group.num_columns)),
        )
    kinds = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
    texts = [field.name for field in schema if field.type in kinds]
    table = parquet.read_table(file.stream(), read_dictionary=texts)
    require_room(file.path, OF_TEXT * sum(map(_bytes_of_texts, table.columns)))
    return table.cast(pa.schema([field.with_nullable(True) for field in schema]))


def _bytes_of_texts(column: pa.ChunkedArray) -> int:
    """How long the texts of a column are that is held as a dictionary."""
    import pyarrow as pa
    from pyarrow import compute

    if not pa.types.is_dictionary(column.type):
        return 0
    return sum(
        compute.sum(compute.binary_length(chunk.dictionary).cast("int64").take(chunk.indices)).as_py() or 0
        for chunk in column.chunks
    )


def read_arrow(file: Opened) -> Table:
    """An Arrow or Feather file, or a stream of Arrow's."""
    from pyarrow import feather, ipc

    def table() -> pa.Table:
        if file.data.startswith((b"ARROW1", b"FEA1")):
            table = feather.read_table(file.stream())
        else:
            table = ipc.open_stream(file.stream()).read_all()
        require_cells(file.path, table.num_rows, table.num_columns, NUMBER)
        require_room(file.path, OF_TEXT * sum(map(_bytes_of_texts, table.columns)))
        return table

    return _from_arrow(file, "an Arrow", table)


def _from_arrow(file: Opened, kind: str, read: Callable[[], pa.Table]) -> Table:
    """A table of Arrow's; its labels as Python's own objects: whole numbers stay whole where some are missing."""
    try:
        table = read()
        columns = _as_text(table.to_pandas(ignore_metadata=True))
        columns.select_dtypes(exclude="number").to_numpy()  # text that is not UTF-8 shows when it is looked at
    except Exception as error:  # pyarrow has a dozen kinds for a damaged file
        raise not_a(file.path, f"{kind} file", error) from error

    def written(place: int) -> list[Any]:
        import pyarrow as pa

        column = table.column(place)
        return list(column.to_numpy()) if pa.types.is_floating(column.type) else list(column.to_pylist())

    return named(columns, table.column_names, file.path, written)


def _as_text(columns: pd.DataFrame) -> pd.DataFrame:
    """Bytes as text, what is not UTF-8 escaped."""

    def text(cell: Any) -> Any:
        return cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else cell

    held = [name for name, dtype in columns.dtypes.items() if dtype == "object"]
    return columns.assign(**{name: columns[name].map(text) for name in held}) if held else columns


def read_excel(file: Opened, options: ReadingOptions) -> Table:
    """The first sheet of a workbook that has cells."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MissingDependencyError(f"{file.path} needs openpyxl: install the extra crossent[excel]") from error
    try:
        with zipfile.ZipFile(file.stream()) as archive:
            require_room(file.path, OF_XML * sum(member.file_size for member in archive.infolist()))
        book = load_workbook(file.stream(), read_only=True, data_only=True)
        sheets = {sheet.title: _rows_of(file, sheet) for sheet in book.worksheets}
    except Exception as error:  # of zip, XML and openpyxl itself
        raise not_a(file.path, "an Excel workbook", error) from error
    title, rows = next(((title, rows) for title, rows in sheets.items() if _filled(rows)), ("", []))
    if not rows:
        raise DataError(f"{file.path} is empty; a header line and at least two rows are needed")
    notes = [f"sheet {title!r}, the first of {len(sheets)}"] if len(sheets) > 1 else []
    return _from_cells(file, _filled(rows), options, notes)


def _rows_of(file: Opened, sheet: Any) -> list[Sequence[Any]]:
    """A sheet's rows, each to its last cell that holds something: a cell far out fills no row before it."""
    rows: list[Sequence[Any]] = []
    width = filled = 0
    for row in sheet.iter_rows(values_only=True):
        used = len(row)
        while used and row[used - 1] is None:
            used -= 1
        rows.append(row[:used])
        width, filled = max(width, used), filled + bool(used)
        require_cells(file.path, filled, width, NUMBER)
    return rows


def _filled(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The rows that hold something, without the columns that are empty in all of them."""
    kept = [row for row in rows if not all(is_missing(cell) for cell in row)]
    width = max(map(len, kept), default=0)
    kept = [[*row, *[None] * (width - len(row))] for row in kept]
    used = [place for place in range(width) if any(not is_missing(row[place]) for row in kept)]
    return [[row[place] for place in used] for row in kept]


def _from_cells(file: Opened, rows: list[list[Any]], options: ReadingOptions, notes: list[str]) -> Table:
    """A table of cells of Python's own types, under its names where it has some; a title above it is left out."""
    width = len(rows[0])
    titles = 0
    while width > 2 and titles < len(rows) - 1 and sum(not is_missing(cell) for cell in rows[titles]) < width / 2:
        titles += 1
    if titles:
        notes = [*notes, f"the first {titles} rows are not part of the table and left out"]
    rows = rows[titles:]
    shown = [["" if is_missing(cell) else str(cell) for cell in row] for row in rows[:2000]]
    header = has_header(shown) if options.header is None else options.header
    names = shown[0] if header else [f"column{place + 1}" for place in range(width)]
    if not header and options.header is None:
        notes = [*notes, NO_NAMES]
    return _from_objects(file, names, rows[int(header) :], options, notes)


def _from_objects(
    file: Opened, names: Sequence[str], rows: Sequence[Sequence[Any]], options: ReadingOptions, notes: list[str]
) -> Table:
    """A table of Python's own objects; the words that stand for a missing value are none."""
    import pandas as pd

    require_cells(file.path, len(rows), len(names))
    missing = set(options.missing)
    cells = [[None if is_missing(cell) or str(cell).strip() in missing else cell for cell in row] for row in rows]
    objects = pd.DataFrame(cells, columns=range(len(names)), dtype=object)
    columns = objects.apply(lambda column: column.infer_objects())
    return named(columns, names, file.path, lambda place: list(objects.iloc[:, place]), notes)


def read_json(file: Opened, options: ReadingOptions) -> Table:
    """JSON: a record a line, or one list of records."""
    text, notes = decode(file, options.encoding)
    records: list[dict[str, Any]] = []
    whole = text.lstrip().startswith("[")
    for number, line in enumerate([text] if whole else text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{file.path} is not JSON with a record a line: line {number}: {one_line(error)}"
            ) from error
        records += found if whole else [found]
    wrong = next((number for number, record in enumerate(records, 1) if not isinstance(record, dict)), None)
    if wrong or not records:
        shown = f"record {wrong} is {str(records[wrong - 1])[:40]!r}" if wrong else "it is empty"
        raise DataError(f'{file.path}: {shown}; records such as {{"size": 1.5, "label": "rose"}} are needed')
    names = list(dict.fromkeys(name for record in records for name in record))
    require_cells(file.path, len(records), len(names))
    return _from_objects(file, names, [[record.get(name) for name in names] for record in records], options, notes)


def read_arff(file: Opened, options: ReadingOptions) -> Table:
    """Weka's format."""
    try:
        import arff
    except ImportError as error:
        raise MissingDependencyError(f"{file.path} needs liac-arff: install the extra crossent[arff]") from error
    text, notes = decode(file, options.encoding)
    try:
        content = arff.load(io.StringIO(text), return_type=arff.DENSE_GEN)
        rows = _counted(file, content["data"], len(content["attributes"]))
    except Exception as error:  # of many kinds
        raise not_a(file.path, "an ARFF file", error) from error
    names = [name for name, _ in content["attributes"]]
    return _from_objects(file, names, rows, options, notes)


def _counted(file: Opened, rows: Iterable[list[Any]], columns: int) -> list[list[Any]]:
    """The rows, as long as there is room for them: sparse ones are short in the file alone."""
    kept: list[list[Any]] = []
    for row in rows:
        kept.append(row)
        require_cells(file.path, len(kept), columns)
    return kept
