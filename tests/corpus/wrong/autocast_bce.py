import torch
from torch import nn


class Disc(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3, 16, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(16, 1, 4),
            nn.Sigmoid(),
        )

    def forward(self, img):
        return self.main(img).view(-1)


disc = nn.DataParallel(Disc()).to("cuda")
criterion = nn.BCEWithLogitsLoss()
real = torch.ones(8)


def d_step(images, opt):
    with torch.autocast("cuda"):
        out = disc(images)
        loss = criterion(out, real)  # expect: X004
    loss.backward()
    opt.step()
