"""Builds softmax_and_cross_entropy.ipynb, and .zh-CN.ipynb, from the percent script, and runs it to store its outputs.

A text cell of the script, "# %% [markdown]", is followed by its Chinese, "# %% [markdown] zh"; code cells are shared.

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
NOTEBOOKS = {"en": SOURCE.with_suffix(".ipynb"), "zh": SOURCE.with_suffix(".zh-CN.ipynb")}
MARKER = re.compile(r"^# %%(?P<kind> \[markdown\](?: zh)?)?\n", re.MULTILINE)
BETWEEN_CHINESE = re.compile(r"(?<=[\u2e80-\uffff])\n(?=[\u2e80-\uffff])")  # would be shown as a space
TEXT_CELLS = {" [markdown]": "en", " [markdown] zh": "zh"}


def read_cells(script: str, lang: str = "en") -> NotebookNode:
    """Cut the percent script into the cells of a notebook without outputs, with the text of one language."""
    _, *pieces = MARKER.split(script)
    cells = []
    for kind, text in zip(pieces[::2], pieces[1::2], strict=True):
        if kind is None:
            cells.append(nbformat.v4.new_code_cell(text.strip("\n")))
        elif TEXT_CELLS[kind] == lang:
            plain = re.sub(r"^# ?", "", text.strip("\n"), flags=re.MULTILINE)
            cells.append(nbformat.v4.new_markdown_cell(BETWEEN_CHINESE.sub("", plain)))
    for number, cell in enumerate(cells, start=1):
        cell["id"] = f"cell-{number}"
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


def take_outputs(notebook: NotebookNode, other: NotebookNode) -> None:
    """Give a notebook what the same code has given in another one."""
    notebook.metadata = other.metadata
    for cell, twin in zip(notebook.cells, other.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = twin.outputs, twin.execution_count


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
    """Build the notebooks next to their source."""
    script = SOURCE.read_text(encoding="utf-8")
    notebooks = {lang: read_cells(script, lang) for lang in NOTEBOOKS}
    execute(notebooks["en"])
    take_outputs(notebooks["zh"], notebooks["en"])
    for lang, path in NOTEBOOKS.items():
        write(notebooks[lang], path)
        print(f"{path.name}: {len(notebooks[lang].cells)} cells, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
