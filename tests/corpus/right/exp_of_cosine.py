import torch
import torch.nn as nn
import torch.nn.functional as F

def contrast(a, b):
    similarity = F.cosine_similarity(a, b)
    e = similarity.exp()
    return e / e.sum()
