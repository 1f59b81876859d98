import torch
import torch.nn as nn
import torch.nn.functional as F

class Learner:
    def probabilities(self, x):
        return torch.sigmoid(self.network(x))

    def fit(self, x, y):
        return F.binary_cross_entropy_with_logits(self.probabilities(x), y)  # expect: X004

    def other(self, x, y):
        return F.nll_loss(F.softmax(self.network(x), dim=1), y)  # expect: X005
