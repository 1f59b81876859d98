"""DTensors in the losses (gloo): however rows and classes are placed, the loss of the whole, and its gradient."""

from __future__ import annotations

import contextlib
import datetime
import json
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import loss_parallel

import crossent

ROWS, CLASSES, FEATURES = 7, 5, 3
Placements = tuple[Any, ...]
ONE: list[Placements] = [(Replicate(),), (Shard(0),), (Shard(1),)]
TWO: list[Placements] = [
    (Shard(0), Shard(1)),
    (Shard(1), Shard(0)),
    (Replicate(), Shard(1)),
    (Shard(0), Replicate()),
    (Shard(0), Shard(0)),
    (Shard(1), Shard(1)),
]


def data() -> dict[str, torch.Tensor]:
    """The whole batch, the same in every process."""
    make = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=make, dtype=torch.float64)

    return {
        "x": 2 * normal(ROWS, CLASSES),
        "y": torch.tensor([0, 4, 2, -100, 1, 1, 3]),
        "q": torch.softmax(normal(ROWS, CLASSES), -1),
        "weight": normal(CLASSES).abs() + 0.1,
        "sample_weight": torch.tensor([1.0, 0.5, 2.0, 3.0, 0.0, 1.5, 1.0], dtype=torch.float64),
        "where": torch.tensor([True, True, True, True, True]),
        "features": normal(ROWS, FEATURES),
        "kernel": normal(CLASSES, FEATURES),
        "bias": normal(CLASSES),
    }


OPTIONS: list[dict[str, Any]] = [
    {},
    {"reduction": "sum"},
    {"reduction": "none", "sample_weight": "sample_weight"},
    {"weight": "weight", "label_smoothing": 0.1},
    {"weight": "weight", "z_loss": 0.1, "sample_weight": "sample_weight"},
    {"where": "where", "softcap": 3.0, "temperature": 0.7},
    {"denominator": 9.0, "logit_scale": 0.5},
]


def named(options: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """The options with their arrays."""
    return {k: whole.get(v, v) if isinstance(v, str) else v for k, v in options.items()}


def placed(mesh: Any, x: torch.Tensor, placements: Placements) -> DTensor:
    """A leaf that is placed so."""
    return distribute_tensor(x.clone(), mesh, list(placements)).requires_grad_()


def of_rows(placements: Placements) -> list[Any]:
    """The placements of a target of class indices."""
    return [p if p == Shard(0) else Replicate() for p in placements]


def compare(value: Any, expected: Any, leaves: list[tuple[DTensor, torch.Tensor]]) -> None:
    """The same value and gradients as of the whole."""
    torch.testing.assert_close(value.full_tensor(), expected.detach(), rtol=1e-12, atol=1e-13)
    upstream = torch.linspace(0.5, 2, expected.numel(), dtype=expected.dtype).reshape(expected.shape)
    expected.backward(upstream)
    value.backward(distribute_tensor(upstream, value.device_mesh, value.placements))
    for leaf, whole in leaves:
        assert leaf.grad.placements == leaf.placements
        torch.testing.assert_close(leaf.grad.full_tensor(), whole.grad, rtol=1e-11, atol=1e-13)


def losses(mesh: Any, placements: Placements) -> None:
    """cross_entropy in every option, class indices and probabilities, inside loss_parallel too."""
    whole = data()
    for n, options in enumerate(OPTIONS):
        for dense in (False, True):
            for inside in (
                (contextlib.nullcontext, loss_parallel) if n < 2 and mesh.ndim == 1 else (contextlib.nullcontext,)
            ):
                x, leaf = whole["x"].clone().requires_grad_(), placed(mesh, whole["x"], placements)
                target, given = whole["q" if dense else "y"], named(options, whole)
                expected = crossent.cross_entropy(x, target, **given)
                own = target
                if n % 2:
                    own = distribute_tensor(target, mesh, list(placements) if dense else of_rows(placements))
                with inside():
                    compare(crossent.cross_entropy(leaf, own, **given), expected, [(leaf, x)])


def likelihoods(mesh: Any, placements: Placements) -> None:
    """nll_loss, whose parts add up over sharded classes."""
    whole = data()
    for options in ({}, {"reduction": "none"}, {"weight": "weight", "sample_weight": "sample_weight"}):
        for dense in (False, True):
            log_p, given = torch.log_softmax(whole["x"], -1), named(options, whole)
            x, leaf = log_p.clone().requires_grad_(), placed(mesh, log_p, placements)
            target = whole["q" if dense else "y"]
            expected = crossent.nll_loss(x, target, **given)
            compare(crossent.nll_loss(leaf, target, **given), expected, [(leaf, x)])


def statistics(mesh: Any, placements: Placements) -> None:
    """row_stats over all classes, placed as the rows are."""
    whole = data()
    for target in (whole["y"], None):
        expected = crossent.row_stats(whole["x"], target, temperature=0.5)
        leaf = placed(mesh, whole["x"], placements)
        told = crossent.row_stats(leaf, target, temperature=0.5)
        for part, other in zip(told, expected, strict=True):
            assert (part is None) == (other is None)
            if part is not None:
                assert part.shape == other.shape
                torch.testing.assert_close(part.full_tensor(), other, rtol=1e-12, atol=1e-13)
        told.entropy.full_tensor().sum().backward()
        x = whole["x"].clone().requires_grad_()
        crossent.row_stats(x, target, temperature=0.5).entropy.sum().backward()
        torch.testing.assert_close(leaf.grad.full_tensor(), x.grad, rtol=1e-11, atol=1e-13)


def layers(mesh: Any, placements: Placements) -> None:
    """The linear loss: the weight over classes wherever the rows are not, else gathered."""
    whole, size = data(), mesh.ndim
    rows = of_rows(placements)
    kernels = [
        [Replicate()] * size,
        [Shard(0) if p == Shard(1) else Replicate() for p in placements],
        [Shard(0)] * size,
    ]
    for options in ({}, {"reduction": "none"}, {"weight": "weight", "z_loss": 0.1}, {"label_smoothing": 0.1}):
        for places in kernels:
            given = named(options, whole)
            parts = [whole[k].clone().requires_grad_() for k in ("features", "kernel", "bias")]
            leaves = [placed(mesh, whole["features"], tuple(rows))]
            leaves += [placed(mesh, whole[k], tuple(places)) for k in ("kernel", "bias")]
            expected = crossent.linear_cross_entropy(
                parts[0], parts[1], whole["y"], linear_bias=parts[2], check=False, **given
            )
            value = crossent.linear_cross_entropy(leaves[0], leaves[1], whole["y"], linear_bias=leaves[2], **given)
            compare(value, expected, list(zip(leaves, parts, strict=True)))


def images(mesh: Any, placements: Placements) -> None:
    """(N, C, d) logits and class-last ones; a pending sum; modules; a mean over nothing."""
    make = torch.Generator().manual_seed(2)
    x = torch.randn(4, CLASSES, 6, generator=make, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (4, 6), generator=make)
    y[0, :3] = -100
    expected = crossent.cross_entropy(x, y)
    module = crossent.nn.CrossEntropyLoss(z_loss=0.1)
    torch.testing.assert_close(module(placed(mesh, x, placements), y).full_tensor(), module(x, y))
    last = [Shard(2) if p == Shard(1) else Shard(1) if p == Shard(0) else p for p in placements]
    leaf = placed(mesh, x.movedim(1, -1).contiguous(), tuple(last))
    torch.testing.assert_close(crossent.cross_entropy(leaf, y, axis=-1).full_tensor(), expected)
    pending = DTensor.from_local(x / mesh.size(), mesh, [Partial()] * mesh.ndim)
    torch.testing.assert_close(crossent.cross_entropy(pending, y).full_tensor(), expected)
    nothing = torch.full_like(y, -100)
    assert crossent.cross_entropy(placed(mesh, x, placements), nothing).full_tensor().isnan()
    assert crossent.cross_entropy(placed(mesh, x, placements), nothing, on_empty="zero").full_tensor() == 0
    half = placed(mesh, x.bfloat16(), placements)
    value = crossent.cross_entropy(half, y).full_tensor()
    assert value.dtype == torch.bfloat16
    assert value == crossent.cross_entropy(x.bfloat16().double(), y).bfloat16()


def mistakes(mesh: Any, placements: Placements) -> None:
    """What is wrong on one rank ends in an error on each of them; what is not known says so."""
    whole, errors = data(), crossent.errors
    leaf = placed(mesh, whole["x"], placements)
    y = whole["y"].clone()
    y[6] = 5
    for function in (crossent.cross_entropy, crossent.nll_loss):
        with pytest.raises((errors.ClassIndexError, errors.RankError), match=r"target|look at its own error"):
            function(leaf, y, check=True)
    with pytest.raises(errors.ShapeError, match="a plain tensor is the target of all ranks' rows"):
        crossent.cross_entropy(leaf, y[:3])
    with pytest.raises(errors.OptionError, match="inplace=True is not known for DTensors"):
        crossent.cross_entropy(leaf, whole["y"], inplace=True)
    with pytest.raises(errors.OptionError, match="return_stats=True is not known for DTensors"):
        crossent.linear_cross_entropy(placed(mesh, whole["features"], placements), leaf, y, return_stats=True)
    with pytest.raises(errors.ArrayTypeError, match="DTensor"):
        crossent.cross_entropy(whole["x"], distribute_tensor(whole["y"], mesh, of_rows(placements)))
    value = crossent.cross_entropy(leaf, whole["y"])
    torch.testing.assert_close(value.full_tensor(), crossent.cross_entropy(whole["x"], whole["y"]))


def gathered(mesh: Any, _: Placements) -> None:
    """A head that FSDP2 shards beside this rank's own rows: gathered, its gradient averaged and scattered back."""
    from torch.distributed.fsdp import fully_shard

    whole, rank, world = data(), distributed.get_rank(), mesh.size()
    head = torch.nn.Linear(FEATURES, CLASSES, dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(whole["kernel"])
        head.bias.copy_(whole["bias"])
    plain = [whole[k].clone().requires_grad_() for k in ("kernel", "bias")]
    total = sum(
        crossent.linear_cross_entropy(whole["features"][r::world], plain[0], whole["y"][r::world], linear_bias=plain[1])
        for r in range(world)
    )
    (total / world).backward()
    fully_shard(head, mesh=mesh)
    own = whole["features"][rank::world]
    loss = crossent.linear_cross_entropy(own, head.weight, whole["y"][rank::world], linear_bias=head.bias)
    loss.backward()
    for parameter, expected in zip((head.weight, head.bias), plain, strict=True):
        torch.testing.assert_close(parameter.grad.full_tensor(), expected.grad)


FUNCTIONS = (losses, likelihoods, statistics, layers, images, mistakes)


def work(rank: int, world: int, folder: str) -> None:
    """One process: all cases on a mesh of one dimension, or of two by two, with what went wrong in each."""
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=30)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world, timeout=timeout
    )
    mesh = init_device_mesh("cpu", (2, 2) if world == 4 else (world,))
    wrong = {}
    for k, placements in enumerate(TWO if world == 4 else ONE):
        for function in FUNCTIONS:
            try:
                function(mesh, placements)
            except BaseException:
                wrong[f"{function.__name__} {k}"] = traceback.format_exc()
    try:
        gathered(init_device_mesh("cpu", (world,)), ())
    except BaseException:
        wrong["gathered 0"] = traceback.format_exc()
    Path(folder, f"{rank}.json").write_text(json.dumps(wrong))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: Any) -> dict[int, dict[str, str]]:
    """What went wrong in the cases, on any rank of three processes and of four."""
    found: dict[int, dict[str, str]] = {}
    for world in (3, 4):
        folder, found[world] = tmp_path_factory.mktemp("ranks"), {}
        torch.multiprocessing.spawn(work, (world, str(folder)), nprocs=world)
        for rank in range(world):
            for name, text in json.loads((folder / f"{rank}.json").read_text()).items():
                found[world][name] = found[world].get(name, "") + f"rank {rank}: {text}"
    return found


CASES = [(world, f"{f.__name__} {k}") for world, many in ((3, 3), (4, 6)) for f in FUNCTIONS for k in range(many)]


@pytest.mark.parametrize(("world", "name"), [*CASES, (3, "gathered 0"), (4, "gathered 0")])
def test_placements(world: int, name: str, wrong: dict[int, dict[str, str]]) -> None:
    assert not wrong[world].get(name), wrong[world][name]


@pytest.mark.slow
def test_a_language_model_on_two_by_two_processes_learns_as_on_one() -> None:
    example = Path(__file__).parents[1] / "examples" / "tensor_parallel_language_model.py"
    command = [sys.executable, str(example), "--steps", "8"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    assert float(text.partition("differ by at most ")[2].split()[0]) < 1e-3
    first, last = (
        float(line.split()[-1]) for line in text.splitlines() if line.startswith(("step     0", "step     7"))
    )
    assert last < first - 0.3
