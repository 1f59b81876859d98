import torch.nn as nn
import torch.nn.functional as F


class CNN(nn.Module):
    def __init__(self, num_classes=10):
        super(CNN, self).__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.fc1 = nn.Linear(32 * 26 * 26, num_classes)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = x.view(x.size(0), -1)
        x = self.fc1(x)
        return F.softmax(x, dim=1)


net = CNN().cuda()
loss_fn = nn.CrossEntropyLoss().cuda()
for epoch in range(10):
    for data in loader:
        inputs, labels = data
        outputs = net(inputs.cuda())
        loss = loss_fn(outputs, labels.cuda())  # expect: X001
        loss.backward()
