import torch.nn as nn


def mixup_criterion(criterion, pred, y_a, y_b, lam):
    return lam * criterion(pred, y_a) + (1 - lam) * criterion(pred, y_b)


criterion = nn.CrossEntropyLoss()
for x, y_a, y_b, lam in loader:
    loss = mixup_criterion(criterion, model(x), y_a, y_b, lam)
    loss.backward()
