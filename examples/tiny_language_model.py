"""A small language model, trained twice: with its logits stored, and with the linear loss that never stores them.

The text is Python's own language reference (`pydoc_data.topics`), the tokens are its bytes, or pairs of bytes for a
vocabulary of 65,536, and the head is the embedding itself. Both runs start from the same weights and see the same
batches; the loss curves agree within rounding. Time and peak memory of each run are its own process's.

    python examples/tiny_language_model.py
    python examples/tiny_language_model.py --pairs --steps 10     # a large vocabulary: memory shows
    python examples/tiny_language_model.py --bf16
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from pydoc_data import topics

import torch
import torch.nn.functional as F

import crossent


def text_tokens(*, pairs: bool) -> torch.Tensor:
    """The text as token numbers: 0 … 255 for bytes, 0 … 65,535 for pairs of them."""
    data = "\n".join(topics.topics.values()).encode()
    single = torch.frombuffer(bytearray(data[: len(data) // 2 * 2]), dtype=torch.uint8).long()
    return single.view(-1, 2) @ torch.tensor([256, 1]) if pairs else single


class Block(torch.nn.Module):
    """Attention to the past, then a small network, each added to what was there."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.parts, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.network = torch.nn.Sequential(
            torch.nn.Linear(width, 4 * width), torch.nn.GELU(), torch.nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        split = self.parts(self.before(x)).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(n, length, width))
        return x + self.network(self.between(x))


class LanguageModel(torch.nn.Module):
    """Tokens to features; the embedding is the head too."""

    def __init__(self, vocabulary: int, context: int, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.tokens, self.places = torch.nn.Embedding(vocabulary, width), torch.nn.Embedding(context, width)
        torch.nn.init.normal_(self.tokens.weight, std=0.02)
        self.blocks = torch.nn.Sequential(*(Block(width, 4) for _ in range(depth)), torch.nn.LayerNorm(width))

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return self.blocks(self.tokens(y) + self.places.weight[: y.shape[1]])


def plain_loss(features: torch.Tensor, head: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Logits of every position, then torch's cross-entropy; position i predicts token i + 1."""
    logits = F.linear(features[:, :-1], head)
    return F.cross_entropy(logits.flatten(0, 1), y[:, 1:].flatten())


def linear_loss(features: torch.Tensor, head: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The same without the logits."""
    return crossent.linear_cross_entropy(features, head, y, shift=1)


def train(name: str, options: argparse.Namespace) -> tuple[list[float], float, float]:
    """(loss of each step, seconds, peak MiB beyond what the process had before) of one run."""
    torch.manual_seed(0)
    loss = {"plain": plain_loss, "linear": linear_loss}[name]
    tokens = text_tokens(pairs=options.pairs)
    model = LanguageModel(256**2 if options.pairs else 256, options.context)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    before, start, losses = peak(), time.perf_counter(), []
    for _ in range(options.steps):
        places = torch.randint(len(tokens) - options.context, (options.batch, 1))
        y = tokens[places + torch.arange(options.context)]
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            value = loss(model(y), model.tokens.weight, y)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(value.item())
    return losses, time.perf_counter() - start, peak() - before


def peak() -> float:
    """The most memory this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str] | None = None) -> dict[str, list[float]]:
    """Train both, print them side by side, and give the losses back."""
    parser = argparse.ArgumentParser(description="A small language model with and without its logits.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--pairs", action="store_true", help="pairs of bytes: a vocabulary of 65,536")
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16")
    options = parser.parse_args(arguments)
    runs = {}
    for name in ("plain", "linear"):
        with multiprocessing.get_context("spawn").Pool(1) as one:
            runs[name] = one.apply(train, (name, options))
    curves = {name: losses for name, (losses, _, _) in runs.items()}
    for step in sorted({0, *range(options.steps // 10, options.steps, max(1, options.steps // 10)), options.steps - 1}):
        print(f"step {step:5d}   plain {curves['plain'][step]:.5f}   linear {curves['linear'][step]:.5f}")
    apart = max(abs(one - other) for one, other in zip(*curves.values(), strict=True))
    print(f"the curves differ by at most {apart:.1e}")
    for name, (_, seconds, mebibytes) in runs.items():
        print(f"{name:6}   {seconds:6.1f} s   peak {mebibytes:7.0f} MiB over the model's")
    return curves


if __name__ == "__main__":
    main()
