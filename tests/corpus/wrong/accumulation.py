import torch.nn as nn

criterion = nn.CrossEntropyLoss(ignore_index=-100)


def train(model, loader, optimizer, accumulation_steps):
    for i, batch in enumerate(loader):
        loss = criterion(model(batch["input_ids"]), batch["labels"])
        loss = loss / accumulation_steps
        loss.backward()  # expect: X025
        if (i + 1) % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
