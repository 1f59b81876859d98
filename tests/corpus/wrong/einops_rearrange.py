import torch
import torch.nn as nn
import torch.nn.functional as F

from einops import rearrange


def loss_of(scores, y):
    p = rearrange(scores.softmax(-1), "b t c -> (b t) c")
    return F.cross_entropy(p, rearrange(y, "b t -> (b t)"))  # expect: X001
