import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(320, 10)

    def forward(self, x):
        x = x.view(-1, 320)
        return F.log_softmax(self.fc(x), dim=0)  # expect: X009
