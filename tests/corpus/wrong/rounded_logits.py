import torch
import torch.nn as nn

criterion = nn.BCEWithLogitsLoss()


def train(model, iterator):
    for batch in iterator:
        predictions = model(batch.text).squeeze(1)
        loss = criterion(predictions, batch.label)
        acc = (torch.round(predictions) == batch.label).float().mean()  # expect: X026
        loss.backward()
