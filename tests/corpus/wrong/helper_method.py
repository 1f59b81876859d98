import torch.nn as nn


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(16, 3)
        self.act = nn.Softmax(-1)
        self.loss = nn.CrossEntropyLoss()

    def scores(self, x):
        return self.act(self.body(x))

    def compute_loss(self, x, y):
        probs = self.scores(x)
        return self.loss(probs, y)  # expect: X001
