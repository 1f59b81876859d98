import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(10, 4)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x):
        return self.softmax(self.fc(x))


net = Net()
for x, y in loader:
    log_probs = torch.log(net(x))  # expect: X019
    loss = nn.functional.nll_loss(log_probs, y)
