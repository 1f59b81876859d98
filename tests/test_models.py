"""The networks give raw logits of the right shape, and say what is wrong with an input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import crossent
from crossent.errors import OptionError, ShapeError
from crossent.models import BinaryMLP, MulticlassMLP, MultilayerPerceptron


def test_the_layers_are_named_as_people_write_them():
    names = ["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]
    assert list(MulticlassMLP(4, 5, 3).state_dict()) == names
    assert list(BinaryMLP(4, 5).state_dict()) == names
    assert isinstance(MulticlassMLP(4, 5, 3).relu, torch.nn.ReLU)


def test_logits_are_linear_relu_linear():
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    for network in (MulticlassMLP(4, 5, 3), BinaryMLP(4, 5), MultilayerPerceptron(4, (5,), 3)):
        hidden = torch.relu(x @ network.linear1.weight.T + network.linear1.bias)
        torch.testing.assert_close(network(x), hidden @ network.linear2.weight.T + network.linear2.bias)


def test_images_are_flattened():
    network = MulticlassMLP(input_size=28 * 28, hidden_size=5, num_classes=3)
    images = torch.rand(7, 28, 28)
    assert torch.equal(network(images), network(images.reshape(7, 784)))
    assert network(images[0].reshape(784)).shape == (3,)
    assert BinaryMLP(28 * 28, 5)(images[:, None]).shape == (7, 1)


@pytest.mark.parametrize("shape", [(28, 28), (7, 10), (0,), (784, 2), ()])
def test_an_input_that_does_not_fit_says_both_shapes(shape):
    with pytest.raises(ShapeError, match=r"784.*flatten") as caught:
        MulticlassMLP(784, 5, 3)(torch.zeros(shape))
    assert str(shape) in str(caught.value)


def test_probability_is_the_sigmoid_of_the_logit():
    network, x = BinaryMLP(4, 5), torch.randn(6, 4)
    torch.testing.assert_close(network.probability(x), 1 / (1 + torch.exp(-network(x))))


def test_they_learn_with_crossents_losses():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(60, 4, generator=generator)
    torch.manual_seed(0)
    for network, y, loss in (
        (MulticlassMLP(4, 16, 3), (x[:, 0] > 0).long() + (x[:, 1] > 0).long(), crossent.cross_entropy),
        (BinaryMLP(4, 16), (x[:, :1] > 0).float(), crossent.binary_cross_entropy_with_logits),
    ):
        optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
        first = float(loss(network(x), y).detach())
        for _ in range(60):
            optimizer.zero_grad()
            loss(network(x), y).backward()
            optimizer.step()
        assert float(loss(network(x), y).detach()) < first / 5


def test_any_number_of_hidden_layers():
    assert MultilayerPerceptron(4, (), 3)(torch.zeros(2, 4)).shape == (2, 3)
    assert [p.shape[0] for p in MultilayerPerceptron(4, (7, 6, 5), 1).parameters()] == [7, 7, 6, 6, 5, 5, 1, 1]


def test_a_generator_decides_the_start_and_the_global_one_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two = (MultilayerPerceptron(30, (40,), 3, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    bound = (6 / (30 + 40)) ** 0.5
    spread = one.linear1.weight.detach()
    assert spread.abs().max() <= bound
    assert spread.std() == pytest.approx(bound / 3**0.5, rel=0.05)


@pytest.mark.parametrize(
    "sizes", [(0, 5, 3), (4, -1, 3), (4, 5, 1), (4, 2.0, 3), (True, 5, 3), ("4", 5, 3), (4, None, 3)]
)
def test_a_size_that_is_no_size_is_refused(sizes):
    with pytest.raises(OptionError, match="whole number"):
        MulticlassMLP(*sizes)
    with pytest.raises(OptionError, match="whole number"):
        MultilayerPerceptron(sizes[0], sizes[1:2], sizes[2] if sizes[2] != 1 else 0)


def test_numpys_whole_numbers_are_sizes():
    assert MulticlassMLP(np.int64(4), np.int32(5), np.uint8(3))(torch.zeros(2, 4)).shape == (2, 3)
