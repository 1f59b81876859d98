import torch.nn as nn
from skorch import NeuralNetClassifier


class Module(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(20, 2)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, X):
        return self.softmax(self.dense(X))


net = NeuralNetClassifier(Module, criterion=nn.CrossEntropyLoss, max_epochs=10)  # expect: X001
