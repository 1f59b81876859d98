import torch
import torch.nn.functional as F
from einops import rearrange, repeat


def f(h, w, y):
    p = (h @ w).softmax(-1)
    p = repeat(p, "b c -> b r c", r=2)
    p = rearrange(p, "b r c -> (b r) c")
    return F.cross_entropy(p, y)  # expect: X001
