"""How exact: the largest errors of crossent, PyTorch, SciPy and optax on the same hard rows, in ulp.

    python benchmarks/exactness.py            prints the table
    python benchmarks/exactness.py --write    puts it into docs/exactness.md, and the bounds of the tests beside it

The rows and the exact answers are those of the tests (tests/exact_cases.py, tests/exact.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import exact_cases as cases  # noqa: E402  # the tests' own
from bounds import BOUNDS  # noqa: E402

MARKS = "<!-- bounds: tests/bounds.py -->", "<!-- measured: benchmarks/exactness.py -->"
END = "<!-- end -->"
Call = Callable[[Any, cases.Batch], Any]
TORCH: dict[str, Call] = {
    "softmax": lambda x, _: torch.softmax(x, -1),
    "log_softmax": lambda x, _: torch.log_softmax(x, -1),
    "logsumexp": lambda x, _: torch.logsumexp(x, -1),
    "entropy": lambda x, _: torch.distributions.Categorical(logits=x, validate_args=False).entropy(),
    "cross_entropy": lambda x, b: F.cross_entropy(x, torch.from_numpy(b.y), reduction="none"),
    "cross_entropy, soft targets": lambda x, b: F.cross_entropy(x, torch.from_numpy(b.q).to(x.dtype), reduction="none"),
    "cross_entropy, smoothing and class weights": lambda x, b: F.cross_entropy(
        x,
        torch.from_numpy(b.y),
        torch.from_numpy(b.weight).to(x.dtype),
        reduction="none",
        label_smoothing=cases.SMOOTHING,
    ),
    "cross_entropy, temperature": lambda x, b: F.cross_entropy(
        x / cases.TEMPERATURE, torch.from_numpy(b.y), reduction="none"
    ),
    "cross_entropy, soft-cap": lambda x, b: F.cross_entropy(
        cases.CAP * torch.tanh(x / cases.CAP), torch.from_numpy(b.y), reduction="none"
    ),
    "binary_cross_entropy_with_logits": lambda x, b: F.binary_cross_entropy_with_logits(
        x, torch.from_numpy(b.q).to(x.dtype), reduction="none"
    ),
}


def of_torch(function: Callable[[Any], Any], b: cases.Batch, case: cases.Case, dtype: str) -> tuple[Any, Any]:
    """(value, gradient) by autograd."""
    x = torch.from_numpy(b.z.astype(dtype)).requires_grad_()
    value = function(x)
    along = b.g if case.name in ("softmax", "log_softmax") else np.ones(tuple(value.shape))
    value.backward(torch.from_numpy(along).to(value.dtype))
    return value.detach().double().numpy(), x.grad.double().numpy()


def of_crossent(case: cases.Case, b: cases.Batch, dtype: str) -> tuple[Any, Any]:
    """The same by crossent, for torch tensors."""

    def make(values: Any, *, wide: bool = False, integer: bool = False) -> Any:  # noqa: ARG001  # the cases' signature
        array = torch.from_numpy(np.ascontiguousarray(values))
        return array if integer else array.to(getattr(torch, dtype))

    return of_torch(lambda x: case.call(x, make, b), b, case, dtype)


def of_scipy(case: cases.Case, b: cases.Batch, dtype: str) -> tuple[Any, Any] | None:
    """(value, None) by SciPy."""
    from scipy import special

    found = getattr(special, case.name, None) if case.name in ("softmax", "log_softmax", "logsumexp") else None
    return found and (np.asarray(found(b.z.astype(dtype), axis=-1), np.float64), None)


def of_optax(case: cases.Case, b: cases.Batch, dtype: str) -> tuple[Any, Any] | None:
    """(value, gradient) by optax, which takes JAX's float32."""
    import jax
    import jax.numpy as jnp
    import optax

    y, q = jnp.asarray(b.y), jnp.asarray(b.q.astype(dtype))
    calls = {
        "cross_entropy": lambda x: optax.softmax_cross_entropy_with_integer_labels(x, y),
        "cross_entropy, soft targets": lambda x: optax.softmax_cross_entropy(x, q),
        "binary_cross_entropy_with_logits": lambda x: optax.sigmoid_binary_cross_entropy(x, q),
    }
    if case.name not in calls or dtype != "float32":
        return None
    value, back = jax.vjp(calls[case.name], jnp.asarray(b.z.astype(dtype)))
    return np.asarray(value, np.float64), np.asarray(back(jnp.ones_like(value))[0], np.float64)


def results(case: cases.Case, b: cases.Batch, dtype: str) -> dict[str, Any]:
    """What each library gives; None where it has no such function."""
    theirs = TORCH.get(case.name)
    return {
        "crossent": of_crossent(case, b, dtype),
        "PyTorch": theirs and of_torch(lambda x: theirs(x, b), b, case, dtype),
        "SciPy": of_scipy(case, b, dtype),
        "optax": of_optax(case, b, dtype),
    }


def measured(dtype: str, seeds: int) -> dict[str, dict[str, cases.Errors]]:
    """The largest errors, by case and library."""
    table: dict[str, dict[str, cases.Errors]] = {}
    with click.progressbar(cases.CASES, label=dtype, file=sys.stderr) as bar, np.errstate(all="ignore"):
        for case in bar:
            for seed in range(seeds * len(cases.KINDS)):
                size = float(np.exp(np.random.default_rng(seed).uniform(-4, 3)))
                b = cases.batch(cases.KINDS[seed % len(cases.KINDS)], seed, size, dtype)
                for library, result in results(case, b, dtype).items():
                    if result:
                        found = cases.worst(case, b, dtype, *result)
                        table.setdefault(case.name, {}).setdefault(library, cases.Errors(0, 0, 0, 0))
                        table[case.name][library] = cases.together(table[case.name][library], found)
    return table


def shown(errors: cases.Errors | None, *, gradient: bool) -> str:
    """Value and gradient, tails included."""
    if errors is None:
        return "–"
    pair = [max(errors.value, errors.tail_value), max(errors.gradient, errors.tail_gradient)]
    return " / ".join(f"{x:.1f}" if x < 100 else f"{x:.0e}" for x in pair[: 1 + gradient])


def text(seeds: int) -> str:
    """The two tables, in Markdown."""
    libraries, parts = ("crossent", "PyTorch", "SciPy", "optax"), []
    for dtype in ("float32", "float64"):
        lines = [f"| {dtype} | {' | '.join(libraries)} |", f"|---|{'---|' * len(libraries)}"]
        for name, found in measured(dtype, seeds).items():
            row = [shown(found.get(library), gradient=library != "SciPy") for library in libraries]
            lines.append(f"| {name} | {' | '.join(row)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


@click.command()
@click.option("--seeds", default=20, show_default=True, help="Batches of eight rows of each of the seven kinds.")
@click.option("--write", is_flag=True, help="Put the tables into docs/exactness.md.")
def main(seeds: int, write: bool) -> None:
    """Measure the largest errors, value / gradient, in units of the last place."""
    table = text(seeds)
    click.echo(table)
    if write:
        page = ROOT / "docs" / "exactness.md"
        for mark, part in zip(MARKS, (cases.bounds_table(BOUNDS), table), strict=True):
            before, rest = page.read_text().split(mark)
            page.write_text(f"{before}{mark}\n\n{part}\n\n{END}{rest.split(END, 1)[1]}")


if __name__ == "__main__":
    main()
