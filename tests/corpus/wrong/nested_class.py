import torch
import torch.nn as nn
import torch.nn.functional as F

def make():
    class Head(nn.Module):
        def forward(self, x):
            return F.log_softmax(x, dim=1).exp()

    head = Head()
    return F.cross_entropy(head(torch.randn(2, 3)), torch.tensor([0, 1]))  # expect: X001
