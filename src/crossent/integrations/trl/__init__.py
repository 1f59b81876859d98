"""crossent in TRL's trainers: the log-probabilities and entropies of SFT, DPO, KTO, GRPO and RLOO without logits."""

from .log_probs import FusedLogProbs as FusedLogProbs
from .log_probs import fused_log_probs as fused_log_probs

__all__ = ["FusedLogProbs", "fused_log_probs"]
