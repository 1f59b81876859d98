import torch.nn as nn

discriminator = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
adversarial_loss = nn.BCELoss()
for real, valid in batches:
    d_loss = adversarial_loss(discriminator(real), valid)  # expect: X007
    d_loss.backward()
