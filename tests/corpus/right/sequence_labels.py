import torch.nn as nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(10, 20, batch_first=True)
        self.fc = nn.Linear(20, 7)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out)


model = Tagger()
criterion = nn.CrossEntropyLoss()
for x, y in loader:
    loss = criterion(model(x).permute(0, 2, 1), y)
    loss2 = criterion(model(x).reshape(-1, 7), y.reshape(-1))
