import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        logits = self.fc(x)
        return logits, F.softmax(logits, dim=1)


net = Net()
for x, y in loader:
    logits, probs = net(x)
    loss = F.cross_entropy(logits, y)
    accuracy = (probs.argmax(1) == y).float().mean()
