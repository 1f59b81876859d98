import torch
import torch.nn as nn
import torch.nn.functional as F

def smooth(y, classes, eps=0.1):
    hot = F.one_hot(y, classes).float()
    return hot * (1 - eps) + eps / (classes - 1)  # expect: X024
