import torch
import torch.nn as nn
import torch.nn.functional as F

def token_loss(logits, labels):
    rows = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=0, reduction="none")
    return rows.mean()  # expect: X033
