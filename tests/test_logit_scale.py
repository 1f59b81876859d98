"""logit_scale: the logits times a number, before the soft-cap; in every library, and in linear layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import crossent
from crossent.errors import OptionError

SETTINGS: list[dict[str, Any]] = [
    {},
    {"softcap": 3.0},
    {"temperature": 0.7, "z_loss": 0.1},
    {"softcap": 5.0, "temperature": 2.0, "label_smoothing": 0.1, "reduction": "sum"},
    {"softcap": 2.0, "z_loss": 0.1, "reduction": "none"},
]


def case() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(7, 5)) * 4, random.integers(0, 5, 7)


@pytest.mark.parametrize("scale", [0.0625, 1 / 3, 1.0, 12.0])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_it_is_the_loss_of_scaled_logits(backend: Any, options: dict[str, Any], scale: float) -> None:
    x, y = case()
    own = crossent.cross_entropy(backend.array(x, "float32"), backend.array(y), logit_scale=scale, **options)
    wanted = crossent.cross_entropy(x.astype(np.float32).astype(np.float64) * scale, y, **options)
    np.testing.assert_allclose(backend.numpy(own), wanted, rtol=2e-6)


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_its_gradient(options: dict[str, Any]) -> None:
    x, y = case()
    _, found = crossent.cross_entropy_with_grad(x, y, logit_scale=0.3, **options)
    _, wanted = crossent.cross_entropy_with_grad(x * 0.3, y, **options)
    np.testing.assert_allclose(found, 0.3 * wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_torch_and_linear_layers(options: dict[str, Any], compiled: bool) -> None:
    torch.manual_seed(0)
    x, w, b = torch.randn(300, 8, requires_grad=True), torch.randn(301, 8, requires_grad=True), torch.randn(301)
    y = torch.randint(0, 301, (300,))
    linear = (
        torch.compile(crossent.linear_cross_entropy, backend="aot_eager") if compiled else crossent.linear_cross_entropy
    )
    own = linear(x, w, y, linear_bias=b, logit_scale=0.2, **options).sum()
    wanted = crossent.cross_entropy(0.2 * (x @ w.T + b), y, **options).sum()
    torch.testing.assert_close(own, wanted)
    found, right = (torch.autograd.grad(value, (x, w)) for value in (own, wanted))
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-6)


def test_statistics() -> None:
    x, y = case()
    own = crossent.row_stats(x, y, logit_scale=0.3, softcap=4.0)
    for name, value in crossent.row_stats(x * 0.3, y, softcap=4.0)._asdict().items():
        np.testing.assert_allclose(getattr(own, name), value, rtol=1e-12, err_msg=name)


def test_out_of_its_range() -> None:
    x, y = case()
    for scale in (0, -1.0, float("inf"), "two"):
        with pytest.raises(OptionError, match=r"logit_scale=.*, expected a positive number"):
            crossent.cross_entropy(x, y, logit_scale=scale)
    with pytest.raises(OptionError, match=r"logit_scale=1e-300 with softcap=1e\+20 .* leaves the range of numbers"):
        crossent.cross_entropy(x, y, logit_scale=1e-300, softcap=1e20)
