import torch
import torch.nn as nn
import torch.nn.functional as F

class LabelSmoothing(nn.Module):
    def __init__(self, classes, smoothing):
        super().__init__()
        self.classes = classes
        self.smoothing = smoothing
        self.confidence = 1.0 - smoothing

    def forward(self, log_p, y):
        target = torch.zeros_like(log_p)
        target.fill_(self.smoothing / self.classes)
        target.scatter_(1, y.unsqueeze(1), self.confidence)  # expect: X024
        return (-target * log_p).sum(1).mean()
