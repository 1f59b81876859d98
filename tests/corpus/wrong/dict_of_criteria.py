import torch
import torch.nn as nn

LOSSES = {"ce": nn.CrossEntropyLoss(), "nll": nn.NLLLoss()}


class Tagger(nn.Module):
    def __init__(self, n_words, n_tags):
        super().__init__()
        self.emb = nn.Embedding(n_words, 64)
        self.lstm = nn.LSTM(64, 64, batch_first=True)
        self.out = nn.Linear(64, n_tags)

    def forward(self, words):
        states, _ = self.lstm(self.emb(words))
        scores = self.out(states)
        return torch.log_softmax(scores, dim=-1).exp()


def step(batch):
    model = Tagger(1000, 10)
    words, tags = batch
    p = model(words)
    return LOSSES["ce"](p.permute(0, 2, 1), tags)  # expect: X001
