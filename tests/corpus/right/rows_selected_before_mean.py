import torch
import torch.nn as nn
import torch.nn.functional as F

def token_loss(logits, labels):
    rows = F.cross_entropy(logits, labels, ignore_index=0, reduction="none")
    return rows[labels != 0].mean()
