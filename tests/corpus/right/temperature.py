import torch
import torch.nn as nn


class TemperatureScaling(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model
        self.temperature = nn.Parameter(torch.ones(1) * 1.5)

    def forward(self, x):
        return self.model(x) / self.temperature

    def fit(self, logits, labels):
        nll = nn.CrossEntropyLoss()
        loss = nll(logits.detach() / self.temperature, labels)
        loss.backward()
