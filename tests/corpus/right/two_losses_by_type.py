import torch
import torch.nn as nn
import torch.nn.functional as F

class Head(nn.Module):
    def __init__(self, binary):
        super().__init__()
        self.fc = nn.Linear(4, 1 if binary else 3)
        self.loss = nn.BCEWithLogitsLoss() if binary else nn.CrossEntropyLoss()

    def forward(self, x, y):
        return self.loss(self.fc(x), y)
