import torch.nn.functional as F


def deliberately(x, y):
    return F.cross_entropy(F.softmax(x, dim=1), y)  # crossent: ignore[X001]
