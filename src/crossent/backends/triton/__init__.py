"""The room of the GPU: the functions of `backends.agnostic` for torch tensors, in Triton's kernels.

Everything stays on the device: scales and cotangents are read there and the host never waits. A target that is no class
makes its row NaN and is noted in a flag (`flags`). A row is read once where it fits: `losses` has the traffic in bytes.
The kernels know no autograd; `_torch.gpu` ties them to it. They are `blocks` and `statistics` (the mathematics),
`losses`, `functions` and `elements`; `launch_…` choose among them, `call` and `layout` say how tensors are handed over.
"""

from __future__ import annotations

import torch

from ..._call.canonical import Elements, Rows
from .launch_elements import binary_cross_entropy_with_gradient as binary_cross_entropy_with_gradient
from .launch_elements import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from .launch_elements import binary_with_cotangent as binary_with_cotangent
from .launch_elements import times as times
from .launch_functions import log_softmax as log_softmax
from .launch_functions import logsumexp as logsumexp
from .launch_functions import moments as moments
from .launch_functions import nll as nll
from .launch_functions import softmax as softmax
from .launch_losses import cross_entropy as cross_entropy
from .launch_losses import cross_entropy_with_gradient as cross_entropy_with_gradient
from .launch_losses import gradient as gradient
from .launch_losses import target_losses as target_losses
from .launch_reduction import reduced as reduced
from .launch_reduction import reduced_gradient as reduced_gradient
from .launch_reduction import reduced_with_gradient as reduced_with_gradient
from .launch_reduction import reduced_with_state as reduced_with_state

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


TAKES = frozenset(
    (
        "weight",
        "ignore_index",
        "label_smoothing",
        "sample_weight",
        "z_loss",
        "softcap",
        "temperature",
        "where",
        "pos_weight",
    )
)


def serves(rows: Rows | Elements) -> bool:
    """Whether the kernels take a call: a floating dtype, sums in float32 or float64, no narrower than it."""
    if not rows.options.asked <= TAKES:
        return False
    dtype = rows.sum_dtype if isinstance(rows, Rows) else rows.y.dtype
    return rows.x.dtype in FLOATS and dtype in (torch.float32, torch.float64) and rows.x.itemsize <= dtype.itemsize
