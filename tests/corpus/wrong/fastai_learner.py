import torch.nn as nn
from fastai.vision.all import Learner, accuracy

net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Softmax(dim=1))
learn = Learner(dls, net, loss_func=nn.CrossEntropyLoss(), metrics=accuracy)  # expect: X001
