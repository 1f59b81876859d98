"""fused_head over two processes (gloo): DDP that looks for unused parameters, and FSDP2, head and all sharded."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from language_models import batch, model_of
from torch import distributed
from torch.nn import functional as F

pytestmark = pytest.mark.slow
CLASSES = 1009


def half(rank: int) -> dict[str, torch.Tensor]:
    """The rows of one process."""
    return {name: value[2 * rank : 2 * rank + 2] for name, value in batch(4).items()}


def expected() -> dict[str, torch.Tensor]:
    """The gradients that all processes should have: those of the mean of the halves' losses."""
    model = model_of("Granite", tie_word_embeddings=False)
    (sum(model(**half(rank)).loss for rank in (0, 1)) / 2).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def data_parallel(**options: bool) -> Any:
    """The model under DDP."""
    model = model_of("Granite", tie_word_embeddings=False)
    return torch.nn.parallel.DistributedDataParallel(model, **options), model


def fully_sharded(own_group: bool) -> Any:
    """The model under FSDP2; the head in a group of its own gives its memory back after its forward pass."""
    from torch.distributed.fsdp import fully_shard

    model = model_of("Granite", tie_word_embeddings=False)
    for layer in model.model.layers:
        fully_shard(layer)
    if own_group:
        fully_shard(model.lm_head)
    return fully_shard(model), model


WAYS: dict[str, Any] = {
    "ddp-unused": lambda: data_parallel(find_unused_parameters=True),
    "ddp-static": lambda: data_parallel(static_graph=True),
    "fsdp": lambda: fully_sharded(False),
    "fsdp-own-group": lambda: fully_sharded(True),
}


def work(rank: int, way: str, inside: bool, file: str) -> None:
    """One process: the gradients are the expected ones, and no logits were formed."""
    warnings.simplefilter("ignore")
    from crossent.integrations.transformers import LazyLogits, fused_head
    from crossent.integrations.transformers.recipe import Recipe

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    wrapped, model = WAYS[way]()
    fused_head(wrapped if way.startswith("ddp") else model)
    Recipe.form = lambda self: pytest.fail("formed")  # type: ignore[method-assign]
    inputs = half(rank)
    for _ in range(2):  # the second time, the buckets are those of the first
        wrapped.zero_grad()
        if inside:
            outputs = wrapped(**inputs)
            loss = outputs.loss
        else:
            outputs = wrapped(input_ids=inputs["input_ids"])
            loss = F.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten())
        assert isinstance(outputs.logits, LazyLogits)
        loss.backward()
    wanted = expected()
    for name, parameter in model.named_parameters():
        own = parameter.grad.full_tensor() if hasattr(parameter.grad, "full_tensor") else parameter.grad
        assert torch.allclose(own, wanted[name], rtol=1e-4, atol=1e-6), name
    distributed.destroy_process_group()


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize("way", WAYS)
def test_two_processes(way: str, inside: bool, tmp_path: Any) -> None:
    torch.multiprocessing.spawn(work, (way, inside, str(tmp_path / "store")), nprocs=2)
