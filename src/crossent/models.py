"""Networks that end in raw logits: no softmax and no sigmoid inside, the loss has them."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ._call.numbers import whole_number
from .errors import ShapeError

__all__ = ["BinaryMLP", "MulticlassMLP", "MultilayerPerceptron"]


class MulticlassMLP(nn.Module):
    """A linear layer, a ReLU and a linear layer that gives one logit a class.

        z = W₂·max(W₁·x + b₁, 0) + b₂            P(class c) = softmax(z)_c

    Train it on its logits with `crossent.cross_entropy` or `crossent.nn.CrossEntropyLoss`; a softmax before that loss
    would be a second one.

    Args:
        input_size: numbers in one example, such as 28·28 for an image.
        hidden_size: width of the hidden layer.
        num_classes: number of classes, at least 2.

    Shapes:
        input (N, input_size), or (N, …) with input_size numbers an example, such as images (N, 28, 28);
        a floating dtype, that of the weights. Output (N, num_classes), the same dtype.

    Raises:
        OptionError: a size that is not a positive whole number, or fewer than two classes.
        ShapeError: an input whose examples do not have input_size numbers.

    Example:
        >>> import torch
        >>> from crossent.models import MulticlassMLP
        >>> network = MulticlassMLP(input_size=28 * 28, hidden_size=5, num_classes=3)
        >>> network(torch.zeros(4, 28, 28)).shape
        torch.Size([4, 3])

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.3.
    """

    def __init__(self, input_size: int, hidden_size: int, num_classes: int) -> None:
        super().__init__()
        whole_number("num_classes", num_classes, least=2, hint="; for two classes and one logit take BinaryMLP")
        self.input_size = whole_number("input_size", input_size)
        self.linear1 = nn.Linear(input_size, whole_number("hidden_size", hidden_size))
        self.relu = nn.ReLU()
        self.linear2 = nn.Linear(hidden_size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits z, shape (N, num_classes), of examples x, shape (N, input_size) or images."""
        logits: Tensor = self.linear2(self.relu(self.linear1(flatten_examples(x, self.input_size))))
        return logits


class BinaryMLP(nn.Module):
    """A linear layer, a ReLU and a linear layer that gives one logit: how much class 1 is likelier than class 0.

        z = w₂·max(W₁·x + b₁, 0) + b₂            P(class 1) = σ(z) = 1 / (1 + exp(−z))

    Train it on its logits with `crossent.binary_cross_entropy_with_logits` or `crossent.nn.BCEWithLogitsLoss`, targets
    (N, 1): a sigmoid inside the network would saturate and stop the learning.

    Args:
        input_size: numbers in one example, such as 28·28 for an image.
        hidden_size: width of the hidden layer.

    Shapes:
        input (N, input_size), or (N, …) with input_size numbers an example; a floating dtype, that of the weights.
        Output (N, 1), the same dtype.

    Raises:
        OptionError: a size that is not a positive whole number.
        ShapeError: an input whose examples do not have input_size numbers.

    Example:
        >>> import torch
        >>> from crossent.models import BinaryMLP
        >>> network = BinaryMLP(input_size=28 * 28, hidden_size=5)
        >>> network(torch.zeros(4, 28 * 28)).shape
        torch.Size([4, 1])

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.2.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = whole_number("input_size", input_size)
        self.linear1 = nn.Linear(input_size, whole_number("hidden_size", hidden_size))
        self.relu = nn.ReLU()
        self.linear2 = nn.Linear(hidden_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits z, shape (N, 1), of examples x, shape (N, input_size) or images."""
        logits: Tensor = self.linear2(self.relu(self.linear1(flatten_examples(x, self.input_size))))
        return logits

    def probability(self, x: Tensor) -> Tensor:
        """Compute P(class 1) = σ(z), shape (N, 1), of examples x, shape (N, input_size) or images."""
        return torch.sigmoid(self(x))


class MultilayerPerceptron(nn.Sequential):
    """Linear layers with a ReLU between them, as many as asked for; without a hidden layer, softmax regression.

        h₀ = x      h_k = max(W_k·h_{k−1} + b_k, 0)      z = W·h_last + b

    Args:
        input_size: numbers in one example.
        hidden_layer_sizes: the width of every hidden layer; () for none.
        output_size: number of logits: the number of classes, or 1 for the binary loss.
        generator: a CPU generator that draws every weight and bias uniformly from ±√(6 / (fan in + fan out));
            without one the layers have PyTorch's own start, from its global generator.

    Shapes:
        input (N, input_size), a floating dtype, that of the weights. Output (N, output_size), the same dtype.

    Raises:
        OptionError: a size that is not a positive whole number.

    Example:
        >>> import torch
        >>> from crossent.models import MultilayerPerceptron
        >>> network = MultilayerPerceptron(64, (128, 32), 10)
        >>> [name for name, _ in network.named_children()]
        ['linear1', 'relu1', 'linear2', 'relu2', 'linear3']
        >>> network(torch.zeros(4, 64)).shape
        torch.Size([4, 10])

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), chapter 6; for the start, Glorot and Bengio,
    Understanding the difficulty of training deep feedforward neural networks (2010), equation 16.
    """

    def __init__(
        self,
        input_size: int,
        hidden_layer_sizes: Sequence[int],
        output_size: int,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        sizes = [whole_number("input_size", input_size)]
        sizes += [whole_number(f"hidden_layer_sizes[{layer}]", width) for layer, width in enumerate(hidden_layer_sizes)]
        sizes += [whole_number("output_size", output_size)]
        super().__init__(OrderedDict(_layers(sizes, empty=generator is not None)))
        if generator is not None:
            _draw_weights(self, generator)


def _layers(sizes: Sequence[int], *, empty: bool) -> Iterator[tuple[str, nn.Module]]:
    """Name and build the linear layers, with a ReLU before each but the first."""
    for number, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes), start=1):
        if number > 1:
            yield f"relu{number - 1}", nn.ReLU()
        linear = nn.Linear(fan_in, fan_out, device="meta" if empty else None)
        yield f"linear{number}", linear.to_empty(device="cpu") if empty else linear


def _draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Fill every linear layer in place, in the network's order; the global generator is not touched."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
            for parameter in (layer.weight, layer.bias):
                nn.init.uniform_(parameter, -bound, bound, generator=generator)


def flatten_examples(x: Tensor, input_size: int) -> Tensor:
    """Flatten images (N, height, width) to rows (N, input_size); a ShapeError where that is not what they are."""
    if x.ndim == 1 and x.shape[0] == input_size:
        return x
    if x.ndim > 1 and x.shape[1:].numel() == input_size:
        return x.flatten(1)
    raise ShapeError(
        f"The network takes examples of {input_size} numbers, shape (N, {input_size}); got an input of shape "
        f"{tuple(x.shape)}. Flatten each example (x.flatten(1)), or build the network with the input's size."
    )
