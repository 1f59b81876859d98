"""The work that is timed: what is computed, of which shape, and the goal against each peer."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

__all__ = ["MEMORY_SUITES", "MEMORY_SWEEPS", "SUITES", "SWEEPS", "Case", "Goal", "shrunk"]

CROSSENT = "crossent"
EAGER, COMPILED, CHUNKED = "torch eager", "torch.compile", "torch chunked"
OPTAX, JAX = "optax", "JAX"
SCIPY, SKLEARN = "scipy.special", "scikit-learn log_loss"
COPY, READ, PRODUCTS = "copy of the logits", "one read of the logits", "matrix products alone"
LOGITS, MEBIBYTE = "the logits", "1 MiB"
BOTH, FORWARD = "forward + backward", "forward"


@dataclass(frozen=True)
class Goal:
    """A bound on crossent: at least so many times a peer's speed, at most so many times its time, or a size."""

    peer: str
    bound: float
    of: str = "speed"

    def met(self, ratio: float) -> bool:
        """Whether a ratio, as the table shows it, is within the bound.

        It is the peer's time over crossent's, or crossent's size over that of `of`.
        """
        if self.of == "speed":
            return round(ratio, 2) >= self.bound
        return round(1 / ratio, 2) <= self.bound if self.of == "time" else round(ratio, 3) <= self.bound

    def __str__(self) -> str:
        if self.of == "speed":
            return f"≥ {self.bound:g} × its speed"
        return f"≤ {self.bound:g} × its time" if self.of == "time" else f"≤ {self.bound:g} × {self.of}"


@dataclass(frozen=True)
class Case:
    """One line of work: logits of `shape` (for a linear layer: rows, features, classes), in `arrays` of a library."""

    work: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    passes: str = BOTH
    arrays: str = "torch"
    probabilities: bool = False
    smoothing: float = 0.0
    inplace: bool = False
    module: bool = False
    goals: tuple[Goal, ...] = ()

    @property
    def family(self) -> str:
        """What the cases of one curve have in common: all but the shape."""
        words = [f"{self.work} {self.dtype}, {self.arrays}", self.passes]
        words += ["probability targets"] * self.probabilities + [f"smoothing {self.smoothing:g}"] * (self.smoothing > 0)
        words += ["in place"] * self.inplace + ["module"] * self.module
        return ", ".join(words)

    @property
    def name(self) -> str:
        """The case in words."""
        head, _, rest = self.family.partition(", ")
        return f"{head} {'×'.join(map(str, self.shape))}, {rest}"

    @property
    def size(self) -> int:
        """Elements of the logits."""
        return math.prod(self.shape) if self.work != "linear" else self.shape[0] * self.shape[-1]

    @property
    def repeats_numpy(self) -> bool:
        """Whether it is a softmax of tensors, whose twin on NumPy arrays has NumPy and SciPy beside it."""
        return self.arrays == "torch" and self.work not in ("cross_entropy", "binary", "linear")

    def goal(self, peer: str) -> Goal | None:
        """The goal against a peer, if there is one."""
        return next((goal for goal in self.goals if goal.peer == peer), None)


def shrunk(case: Case, factor: int) -> Case:
    """The same work on fewer rows: every size but the number of classes divided; goals are of the full size."""
    if factor == 1:
        return case
    classes = {"binary": -1, "linear": len(case.shape) - 1}.get(case.work, 1)
    shape = tuple(n if axis == classes else max(2, n // factor) for axis, n in enumerate(case.shape))
    return dataclasses.replace(case, shape=shape, goals=())


def speed(**bounds: float) -> tuple[Goal, ...]:
    """Goals of speed, the peers by short names."""
    peers = {
        "eager": EAGER,
        "compiled": COMPILED,
        "scipy": SCIPY,
        "sklearn": SKLEARN,
        "chunked": CHUNKED,
        "optax": OPTAX,
    }
    return tuple(Goal(peers[name], bound) for name, bound in bounds.items())


WIDE, TALL, SEGMENTS, VOCABULARY = (4096, 32000), (8192, 1000), (8, 21, 512, 512), (2048, 50257)
CPU = [
    Case("cross_entropy", WIDE, goals=(*speed(eager=16, compiled=8), Goal(COPY, 1.25, "time"))),
    Case("cross_entropy", WIDE, inplace=True, goals=(*speed(eager=16), Goal(COPY, 0.95, "time"))),
    Case("cross_entropy", WIDE, passes=FORWARD, goals=(*speed(eager=4), Goal(COPY, 0.65, "time"))),
    Case("cross_entropy", WIDE, "bfloat16", goals=speed(eager=12)),
    Case("cross_entropy", WIDE, "float16"),
    Case("cross_entropy", TALL, goals=(*speed(eager=3.5), Goal(COPY, 1.5, "time"))),
    Case("cross_entropy", SEGMENTS, goals=speed(eager=6)),
    Case("cross_entropy", VOCABULARY, probabilities=True, goals=speed(eager=13)),
    Case("cross_entropy", VOCABULARY, smoothing=0.1, goals=speed(eager=18)),
    Case("binary", (1_000_000,), goals=speed(eager=3)),
    Case("cross_entropy", (300_000, 100), passes=FORWARD, arrays="numpy", goals=speed(sklearn=20)),
]
SHAPES = [(64, 10), (512, 128), TALL, WIDE]
SOFTMAX = [
    Case(work, shape, passes=FORWARD, arrays=arrays, goals=(*speed(eager=1, **goals), *copies))
    for shape, goals, copies in zip(
        SHAPES, [{}, {}, {"scipy": 10.0}, {"scipy": 5.0}], [(), (), (), (Goal(COPY, 1.25, "time"),)], strict=True
    )
    for arrays, goals in (("numpy", goals), ("torch", {}))
    for work in ("softmax", "log_softmax")
] + [
    Case("logsumexp", TALL, passes=FORWARD, arrays="numpy", goals=speed(scipy=18)),
    Case("logsumexp", WIDE, passes=FORWARD, arrays="numpy"),
]
SMALL = [
    Case("cross_entropy", shape, module=module, goals=(Goal(EAGER, 1.1, "time"),))
    for module in (False, True)
    for shape in ((32, 2), (64, 10), (256, 100), (64, 1000), (512, 128))
]
LAYER = (2048, 512, 32000)
LINEAR = [
    Case("linear", LAYER, goals=(*speed(eager=1.2, chunked=1.7), Goal(PRODUCTS, 1.05, "time"))),
    Case("linear", LAYER, passes=FORWARD, goals=(Goal(PRODUCTS, 1.05, "time"),)),
    Case("linear", LAYER, "bfloat16", goals=(*speed(eager=1.6, chunked=9), Goal(PRODUCTS, 1.3, "time"))),
    Case("linear", (32, 64, 10), goals=(Goal(EAGER, 1.1, "time"),)),
]
MEMORY = [
    Case("cross_entropy", WIDE, goals=(Goal(CROSSENT, 1.02, LOGITS),)),
    Case("cross_entropy", WIDE, inplace=True, goals=(Goal(CROSSENT, 0.02, LOGITS),)),
    Case("cross_entropy", WIDE, passes=FORWARD),
    Case("cross_entropy", WIDE, "bfloat16", goals=(Goal(CROSSENT, 1.02, LOGITS),)),
    Case("cross_entropy", VOCABULARY, probabilities=True),
    Case("softmax", WIDE, passes=FORWARD),
]
LINEAR_MEMORY = [
    Case("linear", (rows, 512, 32000), goals=(Goal(CROSSENT, 64, MEBIBYTE),)) for rows in (2048, 8192, 32768)
]
JAX_LAYER = (1024, 256, 32000)
OF_JAX = [
    Case("cross_entropy", shape, passes=passes, arrays="jax", goals=speed(optax=3 if shape == WIDE else 1))
    for shape in ((64, 10), (512, 128), (1024, 1000), (512, 32000), WIDE)
    for passes in (FORWARD, BOTH)
] + [
    Case("cross_entropy", (1024, 32000), "bfloat16", arrays="jax", goals=speed(optax=1)),
    Case("cross_entropy", (1024, 32000), smoothing=0.1, arrays="jax"),
    Case("linear", JAX_LAYER, arrays="jax", goals=(Goal(OPTAX, 1.1, "time"),)),
]
# The temporaries of what XLA has compiled, beyond the gradients.
JAX_MEMORY = [
    Case("cross_entropy", WIDE, arrays="jax", goals=(Goal(CROSSENT, 0.02, LOGITS),)),
    Case("linear", JAX_LAYER, arrays="jax", goals=(Goal(CROSSENT, 64, MEBIBYTE),)),
]
SUITES = {"cpu": CPU, "softmax": SOFTMAX, "small": SMALL, "linear": LINEAR, "jax": OF_JAX}
# What `crossent bench NAME` measures the peak memory of.
MEMORY_SUITES = {"memory": MEMORY, "linear": LINEAR_MEMORY, "jax": JAX_MEMORY}
# More sizes of a suite's main family, so that --plot has a curve to draw.
SWEEPS = {
    "cpu": [Case("cross_entropy", shape) for shape in ((64, 10), (512, 128), (1024, 1000), (512, 32000))],
    "linear": [Case("linear", (rows, 512, 32000)) for rows in (256, 1024)],
}
MEMORY_SWEEPS = {"memory": [Case("cross_entropy", (rows, 32000)) for rows in (256, 1024)]}
