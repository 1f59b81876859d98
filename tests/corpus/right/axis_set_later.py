import torch
import torch.nn as nn
import torch.nn.functional as F

class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.axis = None

    def build(self, shape):
        self.axis = len(shape) - 1

    def forward(self, x):
        return x * F.softmax(x, dim=self.axis)
