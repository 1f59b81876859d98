import torch
import torch.nn as nn


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(8, 16)
        self.out = nn.Linear(16, 100)

    def forward(self, x, h):
        outputs = []
        for t in range(10):
            h = self.cell(x, h)
            outputs.append(torch.softmax(self.out(h), dim=-1))
        return torch.stack(outputs, dim=1)


model = Decoder()
criterion = nn.CrossEntropyLoss()
for src, trg in loader:
    output = model(src, None)
    loss = criterion(output.view(-1, 100), trg.view(-1))  # expect: X001
