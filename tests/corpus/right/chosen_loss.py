import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.probabilities = loss == "mse"

    def forward(self, x):
        x = self.fc(x)
        return F.softmax(x, dim=1) if self.probabilities else x


def main(args):
    model = Net(args.loss)
    criterion = nn.MSELoss() if args.loss == "mse" else nn.CrossEntropyLoss()
    for x, y in loader:
        criterion(model(x), y).backward()
