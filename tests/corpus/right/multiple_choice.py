import torch.nn as nn


class MultipleChoice(nn.Module):
    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(16, 1)

    def forward(self, x, labels=None):
        logits = self.classifier(x)
        reshaped = logits.view(-1, 4)
        return nn.CrossEntropyLoss()(reshaped, labels)
