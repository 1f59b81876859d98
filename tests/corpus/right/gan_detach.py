import torch
import torch.nn as nn

criterion = nn.BCEWithLogitsLoss()


def step(G, D, real, noise, ones, zeros):
    fake = G(noise)
    d_loss = criterion(D(real), ones) + criterion(D(fake.detach()), zeros)
    d_loss.backward()
    g_loss = criterion(D(fake), ones)
    g_loss.backward()
