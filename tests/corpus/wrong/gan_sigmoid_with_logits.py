import torch
import torch.nn as nn


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(nn.Linear(784, 256), nn.LeakyReLU(0.2, inplace=True), nn.Linear(256, 1), nn.Sigmoid())

    def forward(self, img):
        return self.main(img.view(img.size(0), -1))


netD = Discriminator()
criterion = nn.BCEWithLogitsLoss()
for real in loader:
    label = torch.ones(real.size(0), 1)
    errD = criterion(netD(real), label)  # expect: X004
    errD.backward()
