"""Random calls of the kernels against the oracle: any shape, layout, dtype, option, number of threads.

    python tests/fuzz.py --seconds 600 [--seed 0]

Every call follows from its seed alone. Seeds whose call was once wrong are kept in tests/fuzz_seeds.txt, which the
tests (tests/test_fuzz.py) run again, with some more.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import torch

import crossent

SEEDS = Path(__file__).with_name("fuzz_seeds.txt")
DTYPES = {"numpy": ["float64", "float32", "float16"], "torch": ["float64", "float32", "float16", "bfloat16"]}
ROOM = 4  # units in the last place; its square, times what the oracle lets sums round
MOST = 40  # rows of a call
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 88.8, -104.0, 710.0, 65504.0, 1e-45, 1e37]


class Call:
    """One random call; the arrays as they are handed over, and the same numbers as float64."""

    def __init__(self, seed: int) -> None:
        self.random = random = np.random.default_rng(seed)
        self.package = str(random.choice(["numpy", "torch"]))
        self.dtype = str(random.choice(DTYPES[self.package]))
        ndim = int(random.integers(1, 5))
        shape = [int(random.choice([1, 2, 3, 5, 8, 17, 33])) for _ in range(ndim)]
        self.axis = int(random.integers(-ndim, ndim))
        shape[self.axis] = int(random.choice([1, 2, 3, 7, 8, 15, 16, 31, 64, 100, 257, 1000]))
        while np.prod(shape) > MOST * shape[self.axis]:  # the oracle takes a row at a time
            place = int(random.integers(ndim))
            shape[place] = shape[place] if place == self.axis % ndim else (shape[place] + 1) // 2
        self.shape = tuple(shape)
        self.threads = int(random.integers(1, 5))
        self.function = str(random.choice(["softmax", "log_softmax", "logsumexp", "cross_entropy", "cross_entropy"]))

    def numbers(self, shape: tuple[int, ...]) -> tuple[Any, np.ndarray]:
        """An array of a random layout, and its numbers as float64."""
        random = self.random
        scale = random.choice([1e-3, 1, 1, 8, 60])
        values = np.asarray(random.normal(size=shape) * scale + random.choice([0, 0, 0, 1000]))
        if random.random() < 0.15 and values.size:
            places = tuple(random.integers(0, n, size=2) for n in shape)
            values[places] = random.choice(SPECIAL, size=2)
        with np.errstate(over="ignore"):
            array = torch.as_tensor(values).to(getattr(torch, self.dtype))
        array = self.laid_out(array)
        exact = array.double().numpy().copy()
        return (array if self.package == "torch" else self.reversed(array)), exact

    def laid_out(self, array: torch.Tensor) -> torch.Tensor:
        """The same numbers with other strides: transposed, with gaps, unaligned, repeated along an axis."""
        random = self.random
        order = random.permutation(array.ndim)
        back = np.argsort(order).tolist()
        array = array.permute(*order.tolist()).contiguous().permute(*back)
        kind = random.choice(["plain", "gaps", "offset", "expanded"])
        if kind == "gaps":
            wide = torch.full((*array.shape[:-1], 2 * array.shape[-1] + 1), torch.nan, dtype=array.dtype)
            wide[..., 1::2] = array
            array = wide[..., 1::2]
        if kind == "offset":
            flat = torch.full((array.numel() + 3,), torch.nan, dtype=array.dtype)
            flat[3:] = array.reshape(-1)
            array = flat[3:].view(array.shape)
        if kind == "expanded" and array.shape[0] > 1 and self.axis not in {0, -array.ndim}:
            array = array[:1].expand(array.shape)
        return array

    def reversed(self, array: torch.Tensor) -> np.ndarray:
        """A NumPy array of the same numbers, perhaps with a negative stride."""
        view = array.numpy()
        if self.random.random() < 0.3:
            axis = int(self.random.integers(view.ndim))
            view = np.flip(np.flip(view, axis).copy(), axis)
        return view

    def options(self) -> dict[str, Any]:
        """Options of the loss, most of them left out."""
        random = self.random
        options: dict[str, Any] = {"reduction": str(random.choice(["none", "sum", "mean"]))}
        if random.random() < 0.3:
            options["label_smoothing"] = float(random.random())
        if random.random() < 0.2:
            options["z_loss"] = float(random.random())
        if random.random() < 0.2:
            options["softcap"] = float(random.choice([1, 5, 30]))
        if random.random() < 0.2:
            options["temperature"] = float(random.choice([0.5, 2, 3]))
        return options

    def run(self) -> None:
        """Make the call and compare."""
        crossent.set_num_threads(self.threads)
        x, exact = self.numbers(self.shape)
        if self.function == "cross_entropy":
            self.loss(x, exact)
        else:
            self.plain(x, exact)

    def plain(self, x: Any, exact: np.ndarray) -> None:
        """softmax, log_softmax, logsumexp; on torch the gradient too."""
        cotangent = None
        if self.package == "torch":
            x = x.requires_grad_()
        value = getattr(crossent, self.function)(x, axis=self.axis)
        if self.package == "torch":
            cotangent = torch.as_tensor(self.random.normal(size=tuple(value.shape))).to(value.dtype)
            value.backward(cotangent)
        known = {"cotangent": None if cotangent is None else cotangent.double().numpy()}
        if self.function == "logsumexp":
            expected = oracle.logsumexp(exact, self.axis, **known)
        else:
            expected = oracle.softmax(exact, self.axis, log=self.function == "log_softmax", **known)
        self.compare(value, expected, x)

    def loss(self, x: Any, exact: np.ndarray) -> None:
        """cross_entropy with targets by index, of which some are ignored, or by probability."""
        options = self.options()
        axis = self.axis % len(self.shape)
        batch = (*self.shape[:axis], *self.shape[axis + 1 :])
        target: np.ndarray = self.random.integers(0, self.shape[axis], size=batch)
        target = np.where(self.random.random(batch) < 0.2, -100, target)
        given = torch.as_tensor(target) if self.package == "torch" else target
        if self.package == "torch":
            x = x.requires_grad_()
        value = crossent.cross_entropy(x, given, axis=axis, check=False, **options)
        cotangent = None
        if self.package == "torch":
            cotangent = torch.as_tensor(self.random.normal(size=tuple(value.shape))).to(value.dtype)
            value.backward(cotangent)
            cotangent = cotangent.double().numpy()
        expected = oracle.cross_entropy(exact, target, axis=axis, cotangent=cotangent, **options)
        self.compare(value, expected, x)

    def compare(self, value: Any, expected: oracle.Result, x: Any) -> None:
        """The value, and the gradient where there is one."""
        result = str(value.dtype).removeprefix("torch.")
        plain = value.detach().double().numpy() if self.package == "torch" else value
        close(plain, expected.value, expected.value_scale, result, oracle.sum_dtype(self.dtype))
        if self.package == "torch":
            gradient = x.grad.double().numpy()
            close(gradient, expected.gradient, expected.gradient_scale, self.dtype, oracle.sum_dtype(self.dtype))

    def __str__(self) -> str:
        return f"{self.function} of {self.package} {self.dtype} {self.shape} along {self.axis}, {self.threads} threads"


def close(ours: Any, expected: np.ndarray, scale: np.ndarray, dtype: str, sums: str) -> None:
    """As `oracle.assert_close`, with room for what long rows round, since torch is not asked for its own error here."""
    expected = np.asarray(expected, oracle.Real)
    epsilon = oracle.Real(2) ** -oracle.FRACTION_BITS[sums]
    units = np.where(np.isfinite(expected), ROOM * oracle.ulp(np.where(np.isfinite(expected), expected, 0), dtype), 0)
    units += np.where(np.abs(expected) < 1e-37, 64 * oracle.ulp(np.zeros(()), dtype), 0)  # too small for full precision
    room = ROOM**2 * np.asarray(scale, oracle.Real) + units / (oracle.SUM_EPSILONS * epsilon)
    oracle.assert_close(ours, expected, room, dtype, sums=sums)


def kept() -> list[int]:
    """The seeds whose call was once wrong."""
    return [int(line.split()[0]) for line in SEEDS.read_text().splitlines() if line and not line.startswith("#")]


def main() -> int:
    """Run until the time is up; keep the seed of a call that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--most-failures", type=int, default=10)
    given = parser.parse_args()
    until, count, failures = time.monotonic() + given.seconds, 0, 0
    seed = given.seed * 1_000_000
    np.seterr(all="ignore")  # infinities are part of it
    while time.monotonic() < until and failures < given.most_failures:
        try:
            Call(seed).run()
        except Exception as error:
            failures += 1
            print(f"seed {seed}: {Call(seed)}: {type(error).__name__}: {error}", file=sys.stderr)
            with SEEDS.open("a") as file:
                file.write(f"{seed} {Call(seed)}\n")
        seed, count = seed + 1, count + 1
    print(f"{count} random calls from seed {given.seed * 1_000_000} on: {failures} wrong")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
