"""The table of operations that keep a value's nature, against torch's schemas and its operators as they run."""

from __future__ import annotations

import pytest
import torch

from crossent.checks import lint
from crossent.checks.source.shapes import KINDS, kind_of

# Views that give no numbers of the tensor, or belong to other layouts than the strided one.
NO_NUMBERS = {
    "_autocast_to_full_precision", "_autocast_to_reduced_precision", "_conj", "_fw_primal", "_grad_sum_to_size",
    "_indices",
    "_make_dual", "_ncf_unsqueeze", "_ncf_view", "_neg_view", "_nested_get_values", "_nested_view_from_buffer",
    "_nested_view_from_jagged", "_reshape_alias", "_sparse_broadcast_to", "_test_autograd_multiple_dispatch_view",
    "_unpack_dual", "_values", "ccol_indices", "coalesce", "col_indices", "crow_indices", "imag", "indices",
    "row_indices",
    "slice_inverse", "values", "view_as_complex", "view_as_real",
}  # fmt: skip


def views() -> set[str]:
    """Torch's operators whose result shares the memory of their first argument, by their schemas."""
    found = set()
    for schema in torch._C._jit_get_all_schemas():
        given = schema.arguments[0] if schema.arguments else None
        if not schema.name.startswith("aten::") or given is None or str(given.type) != "Tensor":
            continue
        alias = given.alias_info
        if alias is not None and not alias.is_write and any(one.alias_info is not None for one in schema.returns):
            found.add(schema.name.removeprefix("aten::"))
    return found


def test_every_view_of_torch_is_in_the_table():
    assert len(views()) > 60
    assert sorted(name for name in views() - NO_NUMBERS if kind_of(name) is None) == []


X = torch.rand(4, 6).mul(64).round() / 64
ARGUMENTS = {
    "view": (6, 4), "reshape": (6, 4), "reshape_as": (X.T,), "view_as": (X,), "transpose": (0, 1), "swapaxes": (0, 1),
    "swapdims": (0, 1), "permute": (1, 0), "movedim": (0, 1), "moveaxis": (0, 1), "unsqueeze": (0,), "repeat": (2, 1),
    "tile": (2,), "repeat_interleave": (2,), "flip": (0,), "roll": (1,), "expand": (2, 4, 6), "expand_as": (X,),
    "broadcast_to": (2, 4, 6), "unflatten": (1, (2, 3)), "unfold": (1, 2, 1), "resize": (24,),
    "select": (0, 1), "index_select": (0, torch.tensor([1, 2])), "narrow": (0, 1, 2),
    "masked_select": (X > 0.5,), "take_along_dim": (X.argsort(1), 1), "chunk": (2,), "split": (2,),
    "tensor_split": (2,),
    "unsafe_chunk": (2,), "unsafe_split": (2,), "split_with_sizes": ([1, 3],), "hsplit": (2,), "vsplit": (2,),
    "gather": (1, X.argsort(1)), "take": (torch.tensor([3, 1]),), "as_strided": ((2, 2), (1, 2)),
    "slice_copy": (0, 1, 3),
    "select_copy": (0, 1), "narrow_copy": (0, 1, 2), "type_as": (X,), "to": (torch.float64,), "resize_as_": (X,),
    "permute_copy": ((1, 0),), "transpose_copy": (0, 1), "unsqueeze_copy": (0,), "view_copy": ((6, 4),),
    "expand_copy": ((2, 4, 6),), "unfold_copy": (1, 2, 1), "split_with_sizes_copy": ([1, 3],), "type": (torch.float64,),
}  # fmt: skip


def numbers(value: object) -> set[float]:
    """Every number in a tensor, or in a list of tensors."""
    parts = value if isinstance(value, (tuple, list)) else [value]
    return {round(number, 5) for part in parts for number in part.double().flatten().tolist()}


def result(name: str) -> torch.Tensor | list[torch.Tensor] | None:
    """What torch's operation of a name gives of X; None for names of other libraries and those that give no tensor."""
    function = getattr(torch.Tensor, name, None) or getattr(torch, name, None)
    if not callable(function) or name in ("cuda", "xpu", "pin_memory", "resize", "resize_as"):
        return None
    try:
        value = function(X.clone(), *ARGUMENTS.get(name, ()))
    except (RuntimeError, TypeError, IndexError, NotImplementedError):
        assert name not in ARGUMENTS
        return None
    return value if isinstance(value, (torch.Tensor, tuple, list)) else None


KEPT = [name for name, kind in KINDS.items() if kind in ("same", "layout", "rows", "pieces")]
OF_TORCH = [name for name in KEPT if result(name) is not None]


@pytest.mark.parametrize("name", OF_TORCH)
def test_what_torch_gives_are_numbers_of_the_tensor(name):
    assert len(OF_TORCH) > 80
    assert numbers(result(name)) <= numbers(X)


METHODS = [
    "chunk(2)[0]", "split(2)[0]", "select(1, 0)", "unbind(1)[0]", "repeat(2, 1)", "index_select(0, i)",
    "masked_fill(m, 0.0)",
    "flip(0)", "roll(1, 0)", "moveaxis(1, 2)", "narrow(0, 0, 2)", "resize(4, 3)", "clone()", "contiguous()",
    "unsqueeze(0)",
    "squeeze(0)", "permute(0, 2, 1)", "transpose(1, 2)", "swapaxes(1, 2)", "movedim(1, 2)", "view(-1, 3)",
    "reshape(-1, 3)",
    "flatten(0, 1)", "expand(2, 3)", "expand_as(y)", "tile(2, 1)", "repeat_interleave(2, 0)", "detach()", "to(device)",
    "float()", "double()", "cpu()", "cuda()", "type_as(y)", "index_fill(0, i, 0.0)", "masked_scatter(m, y)",
    "tensor_split(2)[0]",
    "unflatten(0, (2, 2))", "rot90()", "fliplr()", "unfold(0, 2, 1)", "take_along_dim(i, 0)", "nan_to_num()",
]  # fmt: skip
FUNCTIONS = [
    "torch.chunk(p, 2)[0]", "torch.flip(p, [0])", "torch.cat([p, p])", "torch.stack([p, p])", "torch.roll(p, 1, 0)",
    "torch.moveaxis(p, 1, 2)", "torch.narrow(p, 0, 0, 2)", "torch.index_select(p, 0, i)", "torch.where(m, p, p)",
    "torch.tile(p, (2, 1))", "F.dropout(p)", "F.interpolate(p, scale_factor=2)", "F.pad(p, (0, 0))", "p * 1.0",
    "1 * p",
    "einops.rearrange(p, 'b t c -> (b t) c')", "einops.repeat(p, 'b c -> (b k) c', k=2)", "p[1:]", "p[None]",
    "p[..., :]",
    "np.squeeze(p)", "np.concatenate([p, p])", "np.flip(p, 0)", "np.moveaxis(p, 1, 2)", "jnp.tile(p, 2)",
    "jnp.roll(p, 1)",
    "tf.reverse(p, [0])", "tf.identity(p)", "tf.boolean_mask(p, m)", "tf.stop_gradient(p)", "nn.Dropout(0.1)(p)",
]  # fmt: skip


@pytest.mark.parametrize("text", [*(f"p.{method}" for method in METHODS), *FUNCTIONS])
def test_a_softmax_is_known_through_an_operation(text, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "import einops\nimport torch\nimport numpy as np\nimport jax.numpy as jnp\nimport tensorflow as tf\n"
        "import torch.nn as nn\nimport torch.nn.functional as F\n\n\ndef loss(x, y, i, m, device):\n"
        f"    p = F.softmax(x, dim=-1)\n    return F.cross_entropy({text}, y)\n"
    )
    assert [(one.rule_id, one.line) for one in lint(path)] == [("X001", 12)]


@pytest.mark.parametrize(
    "text", ["p @ w", "p.sum(1)", "p.matmul(w)", "model(p)", "p.argmax(1)", "p.norm()", "p * w", "p.log()"]
)
def test_what_makes_something_new_is_no_softmax(text, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "import torch.nn.functional as F\n\n\ndef loss(model, x, y, w):\n    p = F.softmax(x, dim=-1)\n"
        f"    return F.cross_entropy({text}, y)\n"
    )
    assert "X001" not in {one.rule_id for one in lint(path)}
