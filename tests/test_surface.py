"""The surface: what is exported, that imports point one way, and that `import crossent` stays light."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import crossent
from crossent._call import options as call_options

SOURCE = Path(crossent.__file__).parent
EXPORTS = {
    "ExtraRowStats",
    "LinearGradients",
    "Prediction",
    "RowStats",
    "SoftmaxClassifier",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "checks",
    "cross_entropy",
    "cross_entropy_with_grad",
    "distributed",
    "empty_cache",
    "errors",
    "focal_loss",
    "get_num_threads",
    "integrations",
    "linear_cross_entropy",
    "linear_cross_entropy_with_grad",
    "linear_row_stats",
    "log_softmax",
    "logsumexp",
    "models",
    "nll_loss",
    "nn",
    "predict",
    "row_stats",
    "selective_log_softmax",
    "set_num_threads",
    "sigmoid_focal_loss",
    "softmax",
    "tour",
}
# Each module may import modules of its own level and of those below it.
LEVELS = [
    {"errors", "_definition", "_mistakes", "_call.mlx", "_torch", "_torch.state"},
    {"_call", "_call.arrays", "_call.numbers", "_call.refused", "_functions", "_system"},
    {"_call.options"},
    {"_call.canonical", "_torch.functions", "_jax", "_mlx"},
    {"_reduction", "_door", "_door.axes", "_door.counted", "_door.targets", "_door.trainer"},
    {"_door.misuse"},
    {
        "backends",
        "backends.agnostic",
        "backends.cpu",
        "backends.cpu._extension",
        "backends.cpu._views",
        "backends.cpu.plain",
        "backends.room",
    },
    {"_door.rows", "_statistics"},
    {"_door.layer", "_door.selection", "_linear", "_linear.products", "_linear.layer", "_linear.block"},
    {
        "_jax.kernels",
        "_jax.rows",
        "_jax.linear",
        "_linear.chunks",
        "_torch.differentiable",
        "_torch.tied",
        "_torch.float64",
        "_torch.compiled",
    },
    {"_linear.passes", "_torch.cpu", "_torch.gpu", "_torch.told"},
    {"_torch.short", "_torch.softmax", "_torch.ways", "_torch.linear_compiled"},
    {"_torch.linear", "distributed"},
    {"_ways"},
    {"softmax", "losses", "binary", "focal", "linear", "selective"},
    {"nn", "models"},
    {"bench", "classify", "tour", "checks", "integrations", "score"},
    {"", "cli", "__main__"},
]
HEAVY = (
    "torch",
    "triton",
    "sklearn",
    "scipy",
    "pandas",
    "matplotlib",
    "jax",
    "mlx",
    "click",
    "tqdm",
    "safetensors",
    "skops",
    "transformers",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, typing: bool = False) -> set[str]:
    """The modules of crossent that a file imports, wherever in the file; with `typing` those of type checkers too."""
    package = list(path.relative_to(SOURCE).parts[:-1])
    tree = ast.parse(path.read_text())
    lazy = {
        id(node)
        for block in ast.walk(tree)
        if not typing and isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if (
            not isinstance(node, ast.ImportFrom)
            or id(node) in lazy
            or not (node.level or (node.module or "").startswith("crossent"))
        ):
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        stem = [*base, *(node.module or "").removeprefix("crossent").strip(".").split(".")]
        stem = [part for part in stem if part]
        for alias in node.names:
            whole = [*stem, alias.name]
            is_module = (SOURCE.joinpath(*whole).with_suffix(".py")).exists() or SOURCE.joinpath(*whole).is_dir()
            found.add(".".join(whole if is_module else stem))
    return found


def level(module: str) -> int:
    candidates = [module] if module in {m for names in LEVELS for m in names} else [module.split(".", maxsplit=1)[0]]
    return next(i for i, names in enumerate(LEVELS) if candidates[0] in names)


def test_exports() -> None:
    assert set(dir(crossent)) >= EXPORTS
    assert {name for name in dir(crossent) if not name.startswith("_")} - EXPORTS <= {
        "annotations",
        "importlib",
        "TYPE_CHECKING",
        "Any",
        "losses",
        "linear",
        "binary",
        "focal",
        "selective",
        "backends",
        "bench",
        "classify",
        "cli",
        "score",
    }
    for name in EXPORTS:
        assert getattr(crossent, name).__doc__, name


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    own = module_name(path)
    for other in imported_modules(path):
        assert level(other) <= level(own), f"{own} imports {other}"
        if own.startswith("backends.") and other.startswith("backends.") and own.split(".")[1] != other.split(".")[1]:
            pytest.fail(f"rooms do not import each other: {own} imports {other}")


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The modules that lie on circles of imports: each time those that import none of the rest are taken away."""
    left = {module: others & arrows.keys() for module, others in arrows.items()}
    while leaves := {module for module, others in left.items() if not others & left.keys() - {module}}:
        left = {module: others for module, others in left.items() if module not in leaves}
    return sorted(left)


def test_no_circle_of_imports() -> None:
    """Deferred imports and those of type checkers are counted."""
    paths = [path for path in SOURCE.rglob("*.py") if path.stem != "__init__"]
    assert circle({module_name(path): imported_modules(path, typing=True) for path in paths}) == []


def test_the_circle_check_can_fail() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == ["a", "b", "c"]


def test_the_direction_check_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "_definition.py").write_text("from .losses import cross_entropy\n")
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    assert imported_modules(tmp_path / "_definition.py") == {"losses"}
    assert level("losses") > level("_definition")


def test_import_is_light() -> None:
    code = f"import sys, crossent; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["nn", "models"])
def test_a_missing_library_is_named(name: str) -> None:
    code = f"""
import sys
sys.modules["torch"] = None
import crossent
try:
    crossent.{name}
except crossent.errors.MissingDependencyError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"crossent.{name} needs PyTorch: install the extra crossent[torch]\n"


def test_unknown_names_raise() -> None:
    with pytest.raises(AttributeError, match="no attribute 'crossentropy'"):
        _ = crossent.crossentropy


@pytest.mark.parametrize(
    "allowed",
    [
        call_options.LinearLossOptions,
        call_options.LinearOptions,
        call_options.LinearStatsOptions,
        call_options.LossOptions,
        call_options.NLLOptions,
        call_options.SelectionOptions,
        call_options.StatsOptions,
        call_options.BinaryOptions,
        call_options.ProbabilityOptions,
        call_options.FocalOptions,
        call_options.SigmoidFocalOptions,
    ],
)
def test_every_option_has_a_default_and_every_signature_shows_it(allowed: type) -> None:
    fields = set(call_options.Options.__dataclass_fields__)
    assert set(call_options.names(allowed)) <= fields


def test_signatures_are_whole() -> None:
    parameters = inspect.signature(crossent.cross_entropy).parameters
    assert list(parameters) == [
        "input",
        "target",
        "weight",
        "ignore_index",
        "reduction",
        "label_smoothing",
        "axis",
        "where",
        "sample_weight",
        "z_loss",
        "logit_scale",
        "softcap",
        "temperature",
        "poly1_epsilon",
        "denominator",
        "on_empty",
        "dtype",
        "inplace",
        "check",
    ]
    assert parameters["ignore_index"].default == -100
    assert parameters["on_empty"].default == "nan"
    assert parameters["where"].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(inspect.signature(crossent.softmax).parameters) == ["x", "axis", "where", "temperature", "dtype"]


def test_unknown_options_raise_as_python_does() -> None:
    with pytest.raises(
        TypeError,
        match=r"cross_entropy\(\) got an unexpected keyword argument 'lable_smoothing': did you mean label_smoothing",
    ):
        crossent.cross_entropy([[1.0, 2.0]], [0], lable_smoothing=0.1)


@pytest.mark.parametrize(
    "name",
    sorted(
        EXPORTS
        - {
            "ExtraRowStats",
            "LinearGradients",
            "Prediction",
            "RowStats",
            "SoftmaxClassifier",
            "checks",
            "distributed",
            "errors",
            "integrations",
            "models",
            "nn",
            "tour",
        }
    ),
)
def test_public_docstrings_are_complete(name: str) -> None:
    doc = inspect.getdoc(getattr(crossent, name))
    for part in ("Raises", "Examples", "References", ">>> "):
        assert part in doc, f"{name}: {part}"


def test_the_definition_is_short_and_stands_alone() -> None:
    text = (SOURCE / "_definition.py").read_text()
    assert len(text.splitlines()) < 150
    assert imported_modules(SOURCE / "_definition.py") == set()
