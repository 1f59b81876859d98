"""The table of cases, the arithmetic of timings, the check against float64, and the reports; nothing here is timed."""

from __future__ import annotations

import dataclasses
import re
import sys

import numpy as np
import pytest

import crossent
from crossent.bench import child, machine, plot, reference, results, table
from crossent.bench import run as runner
from crossent.bench.cases import MEMORY_SUITES, SUITES, Case, Goal, shrunk
from crossent.bench.inputs import inputs_of
from crossent.bench.measure import Budget, Spread, Step, Timings, measure
from crossent.bench.peers import FLOORS, PEERS, missing
from crossent.bench.suite import Options, cases_of, selected

EVERY_CASE = [case for suite in SUITES.values() for case in suite]

# --- the cases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suite", "name", "goals"),
    [
        (
            "cpu",
            "float32 4096×32000, torch, forward + backward",
            {"torch eager": 16, "torch.compile": 8, "copy of the logits": 1.25},
        ),
        ("cpu", "4096×32000, torch, forward + backward, in place", {"torch eager": 16, "copy of the logits": 0.95}),
        ("cpu", "bfloat16 4096×32000, torch, forward + backward", {"torch eager": 12}),
        ("cpu", " float16 4096×32000, torch, forward + backward", {}),
        ("cpu", "4096×32000, torch, forward", {"torch eager": 4, "copy of the logits": 0.65}),
        ("cpu", "8192×1000, torch, forward + backward", {"torch eager": 3.5, "copy of the logits": 1.5}),
        ("cpu", "8×21×512×512, torch, forward + backward", {"torch eager": 6}),
        ("cpu", "2048×50257, torch, forward + backward, probability targets", {"torch eager": 13}),
        ("cpu", "2048×50257, torch, forward + backward, smoothing 0.1", {"torch eager": 18}),
        ("cpu", "binary float32 1000000, torch, forward + backward", {"torch eager": 3}),
        ("cpu", "300000×100, numpy, forward", {"scikit-learn log_loss": 20}),
        ("softmax", "log_softmax float32 8192×1000, numpy, forward", {"scipy.special": 10, "torch eager": 1}),
        (
            "softmax",
            " softmax float32 4096×32000, numpy, forward",
            {"scipy.special": 5, "torch eager": 1, "copy of the logits": 1.25},
        ),
        ("small", "512×128, torch, forward + backward, module", {"torch eager": 1.1}),
        (
            "linear",
            "float32 2048×512×32000, torch, forward + backward",
            {"torch eager": 1.2, "torch chunked": 1.7, "matrix products alone": 1.05},
        ),
        ("linear", "linear float32 2048×512×32000, torch, forward", {"matrix products alone": 1.05}),
    ],
)
def test_the_goals_are_in_the_table(suite: str, name: str, goals: dict[str, float]) -> None:
    (case,) = [case for case in SUITES[suite] if f" {case.name}".endswith(name)]
    assert {goal.peer: goal.bound for goal in case.goals} == goals


def test_every_case_has_a_name_of_its_own() -> None:
    for suite in (*SUITES.values(), *MEMORY_SUITES.values()):
        assert len({case.name for case in suite}) == len(suite)
    peers = {peer.name for peer in PEERS}
    assert {goal.peer for case in EVERY_CASE for goal in case.goals} <= peers


def test_goals_of_speed_time_and_size() -> None:
    assert Goal("torch eager", 5).met(5.0)
    assert not Goal("torch eager", 5).met(4.99)
    assert Goal("torch eager", 1).met(0.996)
    assert Goal("copy", 1.1, "time").met(1 / 1.09)
    assert not Goal("copy", 1.1, "time").met(1 / 1.11)
    assert Goal("crossent", 1.02, "the logits").met(1.02)
    assert not Goal("crossent", 1.02, "the logits").met(1.03)
    assert [str(Goal("x", 2, of)) for of in ("speed", "time", "the logits")] == [
        "≥ 2 × its speed",
        "≤ 2 × its time",
        "≤ 2 × the logits",
    ]


@pytest.mark.parametrize(
    ("case", "shape"),
    [
        (Case("cross_entropy", (4096, 32000)), (64, 32000)),
        (Case("cross_entropy", (8, 21, 512, 512)), (2, 21, 8, 8)),
        (Case("binary", (1_000_000,)), (15625,)),
        (Case("linear", (2048, 512, 32000)), (32, 8, 32000)),
    ],
)
def test_shrinking_keeps_the_classes_and_drops_the_goals(case: Case, shape: tuple[int, ...]) -> None:
    case = dataclasses.replace(case, goals=(Goal("torch eager", 1),))
    assert shrunk(case, 1) is case
    assert shrunk(case, 64).shape == shape
    assert shrunk(case, 64).goals == ()


def test_selection() -> None:
    assert len(selected(SUITES["cpu"], None)) == len(SUITES["cpu"])
    assert {case.inplace for case in selected(SUITES["cpu"], "in place")} == {True}
    assert [case.dtype for case in selected(SUITES["cpu"], "b*16*back")] == ["bfloat16"]
    with pytest.raises(
        crossent.errors.OptionError, match=r"--only 'jam' matches no case of small; the cases are\n  cross"
    ):
        cases_of("small", Options(only="jam"))


# --- timing, on a clock of our own ------------------------------------------------------------------------------------


class Clock:
    """Time that passes only as steps say."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def step(self, name: str, *seconds: float, prepare: float = 0.0) -> Step:
        """A step that takes these seconds in turn."""
        turn = iter(range(10**9))

        def run() -> tuple[None, None]:
            self.calls.append(name)
            self.now += seconds[next(turn) % len(seconds)]
            return None, None

        def refresh() -> None:
            self.calls.append(f"refresh {name}")
            self.now += prepare

        return Step(run, refresh if prepare else None)


def test_rounds_are_shuffled_and_ratios_compare_neighbours() -> None:
    clock = Clock()
    # Both slow down together, fourfold: the ratio of medians would not see it, the ratios of the rounds do.
    steps = {"crossent": clock.step("crossent", 1.0, 1.0, 4.0), "torch": clock.step("torch", 3.0, 3.0, 12.0)}
    timings = measure(steps, "crossent", Budget(1e9, runs=30), warm=steps, clock=clock)
    assert {tuple(clock.calls[i : i + 2]) for i in range(0, 60, 2)} == {("crossent", "torch"), ("torch", "crossent")}
    assert timings.ratio("torch", "crossent") == Spread(3.0, 3.0, 3.0)
    assert timings.seconds("crossent") == [1.0, 1.0, 4.0] * 10


def test_what_is_refreshed_is_not_timed() -> None:
    clock = Clock()
    timings = measure(
        {"crossent": clock.step("crossent", 1.0, prepare=50.0)}, "crossent", Budget(1e9, runs=3), clock=clock
    )
    assert timings.seconds("crossent") == [1.0] * 3
    assert clock.calls == ["refresh crossent", "crossent"] * 4


def test_what_is_warm_is_not_warmed_up() -> None:
    clock = Clock()
    steps = {"crossent": clock.step("crossent", 1.0), "torch": clock.step("torch", 1.0)}
    measure(steps, "crossent", Budget(1e9, runs=1), {"torch"}, clock)
    assert clock.calls == ["crossent", "crossent", "torch"]


def test_the_slow_sit_out_beside_one_that_never_does() -> None:
    clock = Clock()
    steps = {
        "crossent": clock.step("crossent", 0.01),
        "slow": clock.step("slow", 2.0),
        "middling": clock.step("middling", 0.5),
        "fast": clock.step("fast", 0.001),
    }
    timings = measure(steps, "crossent", Budget(12.0), clock=clock)
    assert len(timings.seconds("slow")) == 3
    assert len(timings.seconds("middling")) == 6
    assert len(timings.seconds("fast")) > 100
    assert all("crossent" in times for times in timings.rounds)


def test_a_slow_peer_does_not_end_the_rounds_of_quick_ones() -> None:
    clock = Clock()
    seconds = {"crossent": 0.1, "slow": 3.0, "copy": 0.05}
    steps = {name: clock.step(name, each) for name, each in seconds.items()}
    timings = measure(steps, "crossent", Budget(6.0), clock=clock)
    assert [len(timings.seconds(name)) for name in seconds] == [21, 3, 21]


def test_the_seconds_bound_a_slow_first() -> None:
    clock = Clock()
    timings = measure(
        {"crossent": clock.step("crossent", 2.0), "copy": clock.step("copy", 0.01)},
        "crossent",
        Budget(4.0),
        clock=clock,
    )
    assert len(timings.rounds) == 5


def test_without_the_first_the_others_are_timed() -> None:
    clock = Clock()
    timings = measure({"torch": clock.step("torch", 0.5)}, "crossent", Budget(1.0), clock=clock)
    rows = results.timed_rows(
        Case("linear", (1, 1, 1)), timings, ["crossent", "torch"], {"crossent": "not in this build"}
    )
    assert [(row.peer, row.runs, row.ratio, row.note) for row in rows] == [
        ("crossent", 0, None, "not in this build"),
        ("torch", 5, None, ""),
    ]


def test_quartiles() -> None:
    assert Spread.of([4.0]) == Spread(4.0, 4.0, 4.0)
    assert Spread.of([1.0, 2.0, 4.0]) == Spread(1.5, 2.0, 3.0)
    assert Spread(2.0, 4.0, 5.0).inverse() == Spread(0.2, 0.25, 0.5)
    assert not results.is_noisy(Spread(1.8, 2.0, 2.1))
    assert results.is_noisy(Spread(1.8, 2.0, 2.3))


# --- a wrong result gets no time --------------------------------------------------------------------------------------


def tiny(case: Case) -> Case:
    return shrunk(case, 400)


SLOW_TO_BUILD = {"torch.compile"}


@pytest.mark.parametrize("case", [tiny(case) for case in EVERY_CASE], ids=lambda case: case.name)
def test_every_peer_computes_every_case_right(case: Case) -> None:
    if case.arrays == "jax":
        pytest.importorskip("jax")
    inputs, right = inputs_of(case), reference.answer_of(case)
    found = {}
    for peer in PEERS:
        step = None if peer.name in SLOW_TO_BUILD else peer.step(case, inputs)
        if step is None:
            continue
        for _ in range(2):  # the second call starts from what the first one left
            if step.prepare is not None:
                step.prepare()
            value, gradients = step.run()
            slack = 1.0 if peer.name == "crossent" else reference.OF_PEERS
            found[peer.name] = None if peer.name in FLOORS else reference.fault(case, right, value, gradients, slack)
    assert set(found.values()) == {None}, found
    assert found.keys() >= {"torch eager"}
    assert found.keys() & set(FLOORS)
    assert "crossent" in found or (case.work == "linear" and not hasattr(crossent, "linear_cross_entropy"))


@pytest.mark.slow
def test_torch_compile_is_right_and_built_where_there_is_a_goal() -> None:
    (peer,) = [peer for peer in PEERS if peer.name == "torch.compile"]
    case = Case("cross_entropy", (16, 100), goals=(Goal("torch.compile", 3.5),))
    step = peer.step(case, inputs_of(case))
    assert step is not None
    assert reference.fault(case, reference.answer_of(case), *step.run()) is None
    assert peer.step(dataclasses.replace(case, goals=()), inputs_of(case)) is None


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda value, gradient: (value * 1.001, gradient), "its value is off by"),
        (lambda value, gradient: (value, gradient * 1.001), "its gradient is off by"),
        (lambda value, gradient: (value, gradient * (gradient < 0)), "its gradient is off by"),
        (lambda value, gradient: (value, gradient * np.where(np.arange(40)[:, None] == 39, 0, 1)), "its gradient"),
        (lambda value, gradient: (value, gradient + np.nan), "its gradient is off by inf"),
        (lambda value, gradient: (value, gradient[:-1]), r"its gradient is of shape \(39, 500\), expected \(40, 500\)"),
        (lambda value, gradient: (value, None), "there are 0 gradients, expected 1"),
    ],
)
def test_what_is_wrong_is_found(spoil, what) -> None:
    case = Case("cross_entropy", (40, 500))
    right = reference.answer_of(case)
    value, gradient = crossent.cross_entropy_with_grad(inputs_of(case).logits, inputs_of(case).target)
    assert reference.fault(case, right, value, gradient) is None
    assert re.match(what, reference.fault(case, right, *spoil(value, gradient)) or "nothing")


def test_the_reference_is_what_torch_computes_in_float64() -> None:
    import torch
    from torch.nn import functional

    case = Case("cross_entropy", (3, 5, 2, 4), smoothing=0.1)
    inputs, right = inputs_of(case), reference.answer_of(case)
    x = torch.from_numpy(inputs.logits).double().requires_grad_()
    loss = functional.cross_entropy(x, torch.from_numpy(inputs.target), label_smoothing=0.1)
    loss.backward()
    assert float(right.value) == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(right.gradients[0], reference.flat(x.grad), rtol=1e-6)


def test_a_wrong_kernel_is_shown_without_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossent, "softmax", lambda x: np.full(x.shape, 1 / x.shape[1], dtype=x.dtype))
    case = Case("softmax", (4, 6), passes="forward", arrays="numpy", goals=(Goal("crossent", 1),))
    result = runner.run(case, runner.Plan(0.0, runs=1))
    assert result.rows[0].peer == "crossent"
    assert result.rows[0].value is None
    assert "wrong, not timed: its value is off by" in "\n".join(table.block(result))
    assert {row.ratio for row in result.rows} == {None}


def test_a_peer_that_fails_is_named_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.special

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room\nfor this")

    monkeypatch.setattr(scipy.special, "softmax", fail)
    result = runner.run(Case("softmax", (4, 6), passes="forward", arrays="numpy"), runner.Plan(0.0, runs=1))
    rows = {row.peer: row for row in result.rows}
    assert rows["scipy.special"].note == "MemoryError: no room"
    assert rows["NumPy by hand"].ratio is not None


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/clear_refs")
def test_the_peak_is_what_a_call_takes_at_most() -> None:
    mebibytes = 2**20 // 8

    def run() -> tuple[float, None]:
        first = np.ones(48 * mebibytes)
        total = float(first.sum())
        del first
        return total + float(np.ones(16 * mebibytes).sum()), None

    assert 47 < child._rise(Step(run), Case("softmax", (1, 1))) / 2**20 < 52


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/clear_refs")
def test_gradients_of_a_linear_layer_are_not_counted() -> None:
    def run() -> tuple[None, tuple[np.ndarray, np.ndarray]]:
        _ = np.ones(2**20)
        return None, (np.ones(2**21), np.ones(2**21))

    assert 7 < child._rise(Step(run), Case("linear", (1, 1, 1))) / 2**20 < 12


def test_a_goal_in_mebibytes_is_of_the_bytes_themselves() -> None:
    (case, *_) = MEMORY_SUITES["linear"]
    assert results.bytes_row(case, "crossent", 63 * 2**20, 1000).met
    assert results.bytes_row(case, "crossent", 65 * 2**20, 10**12).met is False
    assert results.bytes_row(case, "torch eager", 1.0, 1).met is None
    assert results.bytes_row(case, "crossent", None, 1, "not in this build").met is None


# --- what is shown ----------------------------------------------------------------------------------------------------

RATIO = Spread(4.0, 4.5, 5.0)


def example() -> results.Result:
    """A case with a goal missed, a floor, and a peer that failed."""
    case = Case("cross_entropy", (64, 10), goals=(Goal("torch eager", 5), Goal("copy of the logits", 2.5, "time")))
    timings = Timings([{"crossent": 2e-3, "torch eager": 9e-3, "copy of the logits": 1e-3}] * 2)
    names = ["crossent", "torch eager", "JAX", "copy of the logits"]
    return results.Result(case, results.timed_rows(case, timings, names, {"JAX": "RuntimeError: no"}), others=0.25)


def test_the_table() -> None:
    lines = [" ".join(line.split()) for line in [table.heading(), *table.block(example()), *table.summary([example()])]]
    assert lines == [
        "median runs crossent against it (quartiles) goal",
        "",
        "cross_entropy float32 64×10, torch, forward + backward",
        "crossent 2 ms 2",
        "torch eager 9 ms 2 4.50 × its speed (4.50 … 4.50) ≥ 5 × its speed missed",
        "JAX – RuntimeError: no",
        "copy of the logits 1 ms 2 2.00 × its time (2.00 … 2.00) ≤ 2.5 × its time met",
        "warning: other programs took 25% of the processor meanwhile: these ratios mean little",
        "",
        "goals met: 1 of 2",
        "missed: cross_entropy float32 64×10, torch, forward + backward: torch eager: "
        "4.50 × its speed (4.50 … 4.50), goal ≥ 5 × its speed",
        "warning: other programs ran during 1 of 1 cases",
    ]


def test_a_noisy_machine_is_told() -> None:
    row = results.Row("JAX", value=RATIO, ratio=RATIO)
    text = "\n".join(table.summary([results.Result(Case("softmax", (2, 2)), [row])]))
    assert "noisy: the quartiles of 1 of 1 ratios lie more than 20% of the median apart" in text
    assert "noisy" in "\n".join(table.block(results.Result(Case("softmax", (2, 2)), [row])))


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(1.234, "s", "1.23 s"), (0.9996, "s", "1000 ms"), (4.2e-6, "s", "4.2 µs"), (1.5e9, "bytes", "1431 MiB")],
)
def test_quantities(value: float, unit: str, shown: str) -> None:
    assert table.quantity(value, unit) == shown


def test_json_has_the_figures() -> None:
    content = results.as_json("cpu", "crossent bench cpu", {"threads": 2}, {"runs": None}, [example()])
    assert content.keys() == {"suite", "command", "machine", "options", "results"}
    (case,) = content["results"]
    assert case.keys() == {"name", "case", "others", "rows"}
    assert case["case"]["shape"] == (64, 10)
    crossent_row, torch_row, jax_row, copy_row = case["rows"]
    assert torch_row == {
        "peer": "torch eager",
        "unit": "s",
        "value": {"low": 9e-3, "middle": 9e-3, "high": 9e-3},
        "runs": 2,
        "ratio": {"low": 4.5, "middle": 4.5, "high": 4.5},
        "goal": "≥ 5 × its speed",
        "met": False,
        "note": "",
    }
    assert (crossent_row["ratio"], jax_row["value"], jax_row["met"], copy_row["met"]) == (None, None, None, True)


def test_a_panel_a_family_of_several_sizes() -> None:
    def timed(case: Case) -> results.Result:
        return results.Result(
            case, results.timed_rows(case, Timings([{"crossent": case.size * 1e-9}]), ["crossent"], {})
        )

    curve = [timed(Case("cross_entropy", shape)) for shape in ((64, 10), (8, 10))]
    single = timed(Case("binary", (1000,)))
    assert plot.panels([*curve, single]) == {
        "cross_entropy float32, torch, forward + backward: time": {"crossent": [(80, 8e-8), (640, 6.4e-7)]}
    }
    assert list(plot.panels([single])) == ["binary float32, torch, forward + backward: time"]


def test_the_machine_is_described(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    about = machine.describe(2)
    assert about["versions"]["numpy"] == np.__version__
    text = "\n".join(machine.lines({**about, "left_out": {"jax": "install the extra crossent[jax]"}}))
    assert "2 threads" in text
    assert f"numpy {np.__version__}" in text
    assert "left out: jax, which is not installed: install the extra crossent[jax]" in text
    (tmp_path / "cpuinfo").write_text("model name\t: Abacus 3\nflags\t\t: sse4_2 avx2\n")
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    assert machine.describe(1)["processor"] == "Abacus 3 (AVX2)"
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "none")
    assert machine.describe(1)["processor"]


def test_what_other_programs_take(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(machine, "STAT", stat)
    stat.write_text("cpu  100 0 100 9 9 0 0 0 0 0\n")
    others = machine.Others()
    others.started -= 100
    stat.write_text(f"cpu  {100 + 10**9} 0 100 9 9 0 0 0 0 0\n")
    assert others.share() == 1.0
    stat.unlink()
    assert others.share() is None


def test_peers_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossent.bench.peers.is_installed", lambda library: library == "numpy")
    monkeypatch.setattr(runner, "is_installed", lambda library: library == "numpy")
    assert missing()["scikit-learn"] == "pip install scikit-learn"
    assert missing()["torch"] == "install the extra crossent[torch]"
    result = runner.run(Case("softmax", (4, 6), passes="forward", arrays="numpy"), runner.Plan(0.0, runs=1))
    assert [row.peer for row in result.rows] == ["crossent", "NumPy by hand", "copy of the logits"]
    result = runner.run(Case("cross_entropy", (4, 6)), runner.Plan(0.0, runs=1))
    assert result.rows[0].note == "needs PyTorch: install the extra crossent[torch]"
