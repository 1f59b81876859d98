import torch
import torch.nn as nn
import torch.nn.functional as F

class Trainer:
    def __init__(self, model):
        self.model = model
        self.criterion = nn.CrossEntropyLoss()

    def weighted(self, weight):
        self.criterion = nn.CrossEntropyLoss(weight=weight)

    def step(self, x, y):
        p = F.softmax(self.model(x), dim=1)
        return self.criterion(p, y)  # expect: X001
