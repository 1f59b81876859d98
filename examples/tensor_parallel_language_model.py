"""A small language model on a mesh of 2 × 2 processes, and its loss curve beside that of one process.

Over one dimension of the mesh the embedding and the head are sharded by vocabulary (`parallelize_module`); over the
other the batch, and FSDP2 shards what is left. The head's logits are a DTensor whose classes are sharded: crossent's
cross_entropy takes it as it is, without `loss_parallel()`, one exchange a step. The processes talk by gloo, on this
machine, through a file; no port is chosen.

    python examples/tensor_parallel_language_model.py
    python examples/tensor_parallel_language_model.py --steps 100
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
import torch.multiprocessing
from tiny_language_model import Block, text_tokens
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import crossent

BATCH, CONTEXT, WIDTH, VOCABULARY = 8, 32, 32, 256
PROCESSES = 4


class LanguageModel(torch.nn.Module):
    """Tokens to logits; the head has a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = torch.nn.Embedding(VOCABULARY, WIDTH), torch.nn.Embedding(CONTEXT, WIDTH)
        self.blocks = torch.nn.ModuleList(Block(WIDTH, 4) for _ in range(2))
        self.norm, self.head = torch.nn.LayerNorm(WIDTH), torch.nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        x = self.tokens(y) + self.places(torch.arange(y.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def sharded(model: LanguageModel, mesh: DeviceMesh) -> LanguageModel:
    """The embedding and the head over "vocabulary", all parameters over "batch"."""
    plan = {
        "tokens": RowwiseParallel(input_layouts=Replicate()),
        "head": ColwiseParallel(output_layouts=Shard(-1), use_local_output=False),
    }
    parallelize_module(model, mesh["vocabulary"], plan)
    for block in model.blocks:
        fully_shard(block, mesh=mesh["batch"])
    return fully_shard(model, mesh=mesh["batch"])


def train(steps: int, mesh: DeviceMesh | None = None) -> list[float]:
    """The loss of each step, over the whole batch."""
    torch.manual_seed(0)
    tokens, model = text_tokens(pairs=False), LanguageModel()
    make, rows = torch.Generator().manual_seed(1), slice(None)
    if mesh is not None:
        model, share = sharded(model, mesh), BATCH // mesh["batch"].size()
        rows = slice(share * mesh["batch"].get_local_rank(), share * (mesh["batch"].get_local_rank() + 1))
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=3e-3, foreach=False), []
    for _ in range(steps):
        places = torch.randint(len(tokens) - CONTEXT, (BATCH, 1), generator=make)
        y = tokens[places + torch.arange(CONTEXT)][rows]
        loss = crossent.cross_entropy(model(y)[:, :-1], y[:, 1:], axis=-1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(mean(loss, mesh))
    return losses


def mean(loss: torch.Tensor, mesh: DeviceMesh | None) -> float:
    """The loss over the ranks that have other rows, of equal number."""
    value = loss.full_tensor() if isinstance(loss, DTensor) else loss
    value = value.detach().clone()
    if mesh is not None:
        distributed.all_reduce(value, group=mesh.get_group("batch"))
        value /= mesh["batch"].size()
    return value.item()


def work(rank: int, steps: int, folder: str) -> None:
    """One of the processes; the first writes the curve."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=PROCESSES)
    losses = train(steps, init_device_mesh("cpu", (2, 2), mesh_dim_names=("batch", "vocabulary")))
    if rank == 0:
        Path(folder, "losses.json").write_text(json.dumps(losses))
    distributed.barrier()
    distributed.destroy_process_group()


def main(arguments: list[str] | None = None) -> dict[str, list[float]]:
    """Train both, print them side by side, and give the losses back."""
    parser = argparse.ArgumentParser(description="A language model on 2 × 2 processes and on one.")
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, (options.steps, folder), nprocs=PROCESSES)
        curves = {"2 × 2": json.loads(Path(folder, "losses.json").read_text()), "one": train(options.steps)}
    for step in sorted({*range(0, options.steps, max(1, options.steps // 10)), options.steps - 1}):
        print(f"step {step:5d}   " + "   ".join(f"{name} {losses[step]:.5f}" for name, losses in curves.items()))
    apart = max(abs(one - other) for one, other in zip(*curves.values(), strict=True))
    print(f"the curves differ by at most {apart:.1e}")
    return curves


if __name__ == "__main__":
    main()
