"""Builds softmax_and_cross_entropy.ipynb from the percent script of the same name, and runs it to store its outputs.

python examples/build_notebook.py
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

SOURCE = Path(__file__).with_name("softmax_and_cross_entropy.py")
NOTEBOOK = SOURCE.with_suffix(".ipynb")
MARKER = re.compile(r"^# %%(?P<kind> \[markdown\])?\n", re.MULTILINE)


def read_cells(script: str) -> NotebookNode:
    """Cut the percent script into the cells of a notebook without outputs."""
    _, *pieces = MARKER.split(script)
    cells = []
    for number, (kind, text) in enumerate(zip(pieces[::2], pieces[1::2], strict=True), start=1):
        if kind:
            cells.append(nbformat.v4.new_markdown_cell(re.sub(r"^# ?", "", text.strip("\n"), flags=re.MULTILINE)))
        else:
            cells.append(nbformat.v4.new_code_cell(text.strip("\n")))
        cells[-1]["id"] = f"cell-{number}"
    return nbformat.v4.new_notebook(cells=cells)


def execute(notebook: NotebookNode) -> None:
    """Run every cell in a fresh kernel of this Python and keep the outputs, nothing of the machine."""
    with tempfile.TemporaryDirectory() as folder:
        manager = AsyncKernelManager(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),  # not the machine's kernels: this Python's own
            connection_file=str(Path(folder, "kernel.json")),
            transport="ipc" if os.name == "posix" else "tcp",
        )
        client = NotebookClient(notebook, km=manager, timeout=120, record_timing=False, coalesce_streams=True)
        variables = {"IPYTHONDIR": folder, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        client.execute(cleanup_kc=True, env={**os.environ, **variables})
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(name="python3", display_name="Python 3", language="python"),
        language_info=NotebookNode(name="python"),
    )


def printed(notebook: NotebookNode) -> str:
    """Join what the code cells printed."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def write(notebook: NotebookNode, path: Path) -> None:
    """Write the notebook whole or not at all."""
    nbformat.validate(notebook)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    unfinished.replace(path)


def main() -> None:
    """Build the notebook next to its source."""
    notebook = read_cells(SOURCE.read_text(encoding="utf-8"))
    execute(notebook)
    write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK.name}: {len(notebook.cells)} cells, {NOTEBOOK.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
