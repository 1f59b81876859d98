import torch
import torch.nn as nn
import torch.nn.functional as F

def soft_targets(y, eps):
    one_hot = torch.eye(10)[y]
    return (1.0 - eps) * one_hot + eps  # expect: X024
