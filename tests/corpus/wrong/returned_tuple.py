import torch.nn as nn
import torch.nn.functional as F


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        logits = self.fc(x)
        probs = F.softmax(logits, dim=1)
        return logits, probs


def train(loader):
    model = TwoHeads()
    for x, y in loader:
        logits, probs = model(x)
        loss = F.cross_entropy(probs, y)  # expect: X001
        loss.backward()
