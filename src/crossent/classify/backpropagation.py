"""One training step of a multilayer perceptron: forward, loss, and backward written out.

For linear layers and ReLU the backward pass is two products a layer. A step of a small network is mostly overhead: with
autograd's graph and engine in place of this, a fit takes 1.3 (digits) to 1.4 times as long (breast_cancer).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .objective import loss_and_gradient

__all__ = ["loss_and_gradients"]


@torch.no_grad()
def loss_and_gradients(
    parameters: Sequence[Tensor], features: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float
) -> tuple[Tensor, list[Tensor]]:
    """Compute the mean loss of a batch and its derivatives by the parameters.

    With a₀ = features, aₖ = max(0, Wₖ·aₖ₋₁ + bₖ), logits = the last layer without the maximum, and g = d loss/d logits:
    d loss/dWₖ = gᵀ·aₖ₋₁, d loss/dbₖ = Σ g, and below it g ← (g·Wₖ)·[aₖ₋₁ > 0].

    Args:
        parameters: weight and bias of each layer in turn, as `MultilayerPerceptron.parameters()` lists them.
        features: (N, n_features) numbers.
        targets: as in `objective.mean_loss`.
        weights: as in `objective.mean_loss`.
        smoothing: the label smoothing.
    """
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    activations = [features]
    for weight, bias in layers[:-1]:
        activations.append(F.linear(activations[-1], weight, bias).relu_())
    loss, g = loss_and_gradient(F.linear(activations[-1], *layers[-1]), targets, weights, smoothing)
    gradients = []
    for number, (weight, _) in reversed(list(enumerate(layers))):
        gradients += [g.sum(0), g.T @ activations[number]]
        if number:
            g = torch.ops.aten.threshold_backward(g @ weight, activations[number], 0)
    return loss, gradients[::-1]
