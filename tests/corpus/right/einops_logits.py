import torch
import torch.nn as nn
import torch.nn.functional as F

from einops import rearrange


def loss_of(scores, y):
    return F.cross_entropy(rearrange(scores, "b t c -> (b t) c"), rearrange(y, "b t -> (b t)"))
