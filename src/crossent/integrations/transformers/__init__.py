"""crossent in Hugging Face's models and trainers: losses of their shapes, and training without logits.

`model.loss_function = causal_lm_loss` or `Trainer(…, compute_loss_func=compute_loss)` take the loss from here;
`fused_head(model)` keeps any model with output embeddings from forming its logits.
"""

from .head import FusedHead as FusedHead
from .head import fused_head as fused_head
from .logits import LazyLogits as LazyLogits
from .losses import causal_lm_loss as causal_lm_loss
from .losses import compute_loss as compute_loss
from .losses import masked_lm_loss as masked_lm_loss
from .losses import sequence_classification_loss as sequence_classification_loss
from .losses import token_classification_loss as token_classification_loss

__all__ = [
    "FusedHead",
    "LazyLogits",
    "causal_lm_loss",
    "compute_loss",
    "fused_head",
    "masked_lm_loss",
    "sequence_classification_loss",
    "token_classification_loss",
]
