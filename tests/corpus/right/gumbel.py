import torch
import torch.nn.functional as F


def vq_loss(logits, decoder, x):
    z = F.gumbel_softmax(logits, tau=1.0, hard=True)
    recon = decoder(z)
    q = F.softmax(logits, dim=-1)
    kl = (q * (q + 1e-10).log()).sum(-1).mean()
    return F.mse_loss(recon, x) + kl
