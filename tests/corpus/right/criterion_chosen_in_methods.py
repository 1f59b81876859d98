import torch
import torch.nn as nn
import torch.nn.functional as F

class Trainer:
    def __init__(self, model):
        self.model = model
        self.criterion = nn.NLLLoss()

    def use_probabilities(self):
        self.criterion = nn.MSELoss()

    def step(self, x, y):
        return self.criterion(F.log_softmax(self.model(x), dim=1), y)
