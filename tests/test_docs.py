"""The documentation: every example runs, every public name is there, the pictures are drawn from right numbers."""

from __future__ import annotations

import importlib
import pydoc
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from blocks import Block, blocks, blocks_of, run_commands, run_python, runnable

import crossent
from crossent.cli import COMMANDS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SOURCE = Path(crossent.__file__).parent
PAGES = [*sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("zh/*.md")), *sorted(DOCS.glob("api/*.md"))]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
RUN = [page for page in PAGES + READMES if page.name != "rules.md"]  # tests/test_rules.py runs those
MODULES = ["nn", "models", "errors", "checks", "tour"]
FOLDERS = [SOURCE / name for name in ("distributed", "integrations")]
MODULES += [
    ".".join(path.relative_to(SOURCE).parts)
    for folder in FOLDERS
    for path in (folder, *folder.glob("*"))
    if path.is_dir() and not path.name.startswith("_")
]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A folder with what the pages' commands speak of."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},{i % 7},{'cheap' if i % 3 else 'dear'}" for i in range(60)]
    (tmp_path / "cars.csv").write_text("\n".join(["power,doors,price_class", *rows]) + "\n")
    (tmp_path / "new_cars.csv").write_text("power,doors\n3,4\n50,2\n")
    np.save(tmp_path / "logits.npy", np.eye(3)[np.arange(30) % 3] * 2 - 1)
    np.save(tmp_path / "labels.npy", np.arange(30) // 2 % 3)
    (tmp_path / "train.py").write_text("import torch\n")
    for folder in ("src", "notebooks"):
        (tmp_path / folder).mkdir()


def with_code(page: Path) -> bool:
    return any(block.language in ("python", "pycon", "sh", "console") for block in blocks(page))


@pytest.mark.parametrize("page", [page for page in RUN if with_code(page)], ids=named)
def test_examples_run(page, program):
    found = blocks(page)
    run_python(page, found)
    run_commands(found)


def test_what_cannot_run_here_is_left_out_with_what_builds_on_it(monkeypatch):
    monkeypatch.setattr("blocks.OPTIONAL", ("nowhere",))
    page = "```python\n>>> import nowhere\n>>> x = nowhere.y\n```\n```python\nz = x + 1\n```\n```python\nw = 1\n```\n"
    assert [block.text for block in runnable(list(blocks_of(page)))] == ["w = 1\n"]


def test_every_page_is_in_the_contents():
    listed = set()
    for page in PAGES:
        for body in re.findall(r"^```{toctree}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            names = [line for line in body.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / f"{name}.md").resolve() for name in names}
    assert listed == {page.resolve() for page in PAGES} - {DOCS / "index.md"}


def test_a_wrong_example_fails(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> 1 + 1\n3\n```\n")
    with pytest.raises(AssertionError):
        run_python(page, blocks(page))
    page.write_text(":::{note}\n```python\nassert 1 == 2\n```\n:::\n")
    with pytest.raises(AssertionError):
        run_python(page, blocks(page))
    with pytest.raises(AssertionError):
        run_commands([Block("sh", "crossent tour --chapter 99\n", 1)])


def test_every_public_name_is_in_the_api():
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("api/*.md"))
    shown = set(re.findall(r"auto\w+:: crossent\.([\w.]+)", text))
    public = {name for name in dir(crossent) if not name.startswith("_")}
    own = [n for n in public if getattr(getattr(crossent, n), "__module__", "").startswith("crossent")]
    assert set(own) <= shown, "an API page lacks a name: see docs/api"
    for module in MODULES:
        names = getattr(importlib.import_module(f"crossent.{module}"), "__all__", [])
        assert module in shown or {f"{module}.{name}" for name in names} <= shown, module


@pytest.mark.parametrize("page", [*PAGES, *READMES, ROOT / "CONTRIBUTING.md"], ids=named)
def test_links_between_pages(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, place = target.partition("#")
        if not target.startswith(("http", "mailto")) and path:
            assert (page.parent / path).exists(), f"{named(page)} links to {target}"
        if place and path.endswith(".md"):
            heads = re.findall(r"^#+ (.+)$", (page.parent / path).read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert place in slugs, f"{named(page)} links to {target}"


@pytest.fixture(scope="module")
def parts():
    """The site's own parts."""
    pytest.importorskip("sphinx")
    pytest.importorskip("latex2mathml")
    sys.path.insert(0, str(DOCS))
    try:
        yield importlib.import_module("parts")
    finally:
        sys.path.remove(str(DOCS))


def test_pictures_and_pages_fit(parts):
    drawings = importlib.import_module("parts.drawings")
    used = {n for page in PAGES for n in re.findall(r"^```{picture} (\w+)", page.read_text(encoding="utf-8"), re.M)}
    assert used == set(drawings.DRAWINGS)
    for page in PAGES:
        for body in re.findall(r"^```{picture} \w+\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            assert re.match(r":alt: \S.{20,}", body), f"{named(page)}: a picture without words"


def test_the_commands_are_written_down(parts, tmp_path):
    pages = importlib.import_module("parts.pages")
    pages.write_commands(tmp_path / "commands.md")
    text = (tmp_path / "commands.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"## crossent {name}\n\n```text\nUsage: crossent {name} " in text
    assert "## crossent bench cpu\n\n```text\nUsage: crossent bench cpu " in text


def test_the_pictures_oracle(parts):
    numerics = importlib.import_module("parts.drawings.numerics")
    loss, gradient = numerics.exact([20.0, 0.0], 0)
    assert float(loss) == pytest.approx(2.0611536181902037e-09, rel=1e-15)
    assert [float(g) for g in gradient] == pytest.approx([-2.0611536181902037e-09, 2.0611536181902037e-09], rel=1e-8)
    assert numerics.ulps(1.0, numerics.mpmath.mpf(1) + numerics.mpmath.ldexp(1, -23), "float32") == 1
    assert numerics.ulps(0.0, numerics.mpmath.mpf(1), "float32") == 2**23
    assert numerics.ulps(float("nan"), numerics.mpmath.mpf(1), "float32") == float("inf")


def test_the_house_has_every_room(parts, monkeypatch):
    house = importlib.import_module("parts.drawings.house")
    private = {name for name in house.homeless() if name.startswith("_")}
    assert private == set(), "docs/parts/drawings/house.py: on which floor are these?"
    monkeypatch.setattr(house, "BESIDE", ())
    assert {"errors", "cli"} <= house.homeless()
    assert "cli" in house.standing()[0][1]


def test_pictures_of_speed_read_the_results(parts):
    results = importlib.import_module("parts.results")
    seconds, sizes = results.read()
    assert len(seconds) > 10
    assert len(sizes) > 3
    speed = importlib.import_module("parts.drawings.speed")
    assert speed.sizes_of("cross_entropy float32 8×21×512×512, torch, forward") == [8, 21, 512, 512]
    assert all(len(found) > 1 for case, found in sizes.items() if "in place" not in case)
    assert not [case for case in sizes if case.startswith("torch")]
    assert all(value > 0 for found in (*seconds.values(), *sizes.values()) for value in found.values())
    case = "cross_entropy float32 4096×32000, torch, forward + backward"
    table = results.RESULTS.read_text(encoding="utf-8")
    told = re.search(rf"^{re.escape(case)}\n  crossent +([\d.]+) ms", table, re.M)
    assert seconds[case]["crossent"] == pytest.approx(float(told[1]) * 1e-3)


def test_the_link_check_finds_what_is_broken(parts, tmp_path):
    links = importlib.import_module("parts.links")
    (tmp_path / "a.html").write_text('<a href="b.html#here">x</a><a href="b.html#gone">y</a><a href="c.html">z</a>')
    (tmp_path / "b.html").write_text('<p id="here"></p><script src="https://cdn.example/x.js"></script>')
    assert links.problems(tmp_path) == [
        "a.html links to b.html#gone, which is not there",
        "a.html links to c.html, which is not there",
        "b.html fetches https://cdn.example/x.js",
    ]


def test_docstrings_are_read_as_text(parts):
    docstrings = importlib.import_module("parts.docstrings")
    lines = ["One line.", "", "loss = |x|", "", "Raises", "------", "See `f`.", "", ">>> a_ | b"]
    docstrings.process(None, "function", "f", None, None, lines)
    assert lines[2:6] == [".. code-block:: text", "   :class: equation", "", "   loss = |x|"]
    assert ".. rubric:: Raises" in lines
    assert lines[-1] == ">>> a_ | b"
    assert docstrings.escaped("    classes_: (C,). n_iter_: epochs") == r"    classes_: (C,). n_iter\_: epochs"
    assert docstrings.escaped("classes_ and `kept_`, |x|") == r"classes\_ and `kept_`, \|x\|"


def test_both_readmes_say_the_same():
    english, chinese = (page.read_text(encoding="utf-8") for page in READMES)
    assert len(re.findall("^## ", english, re.M)) == len(re.findall("^## ", chinese, re.M))
    assert len(re.findall(r"^\|", english, re.M)) == len(re.findall(r"^\|", chinese, re.M))
    code = [[re.sub(r"\s+#.*", "", block.text) for block in blocks(page)] for page in READMES]
    assert code[0] == code[1]


def test_the_number_of_rules_is_right_wherever_it_is_told():
    rules = len(crossent.checks.RULES)
    for page, said in [
        (READMES[0], f"[{rules - 2} more](docs/rules.md)"),
        (READMES[1], f"[另外 {rules - 2} 种错误](docs/rules.md)"),
        (DOCS / "index.md", f"[{rules} mistakes](check.md)"),
        (DOCS / "zh" / "index.md", f"[{rules} 种错误](mistakes.md)"),
    ]:
        assert said in page.read_text(encoding="utf-8"), named(page)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_names_in_pages_lead_to_their_documentation(page):
    elsewhere = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("inventories/*.txt"))
    for target in re.findall(r"{py:\w+}`~?([\w.]+)`", page.read_text(encoding="utf-8")):
        if target.startswith("crossent."):
            assert pydoc.locate(target) is not None, target
        else:
            assert f" {target} " in elsewhere, f"{target}: a line for docs/inventories"
