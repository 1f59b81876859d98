# %% [markdown]
# # Softmax and cross-entropy
#
# Softmax turns scores into probabilities; cross-entropy says how wrong the probabilities are. This notebook computes
# both by the formula, in NumPy and in PyTorch, and then shows what goes wrong when they are put together carelessly.
#
# The same story in a terminal: `crossent tour`. In Chinese (中文版): `softmax_and_cross_entropy.zh-CN.ipynb`.

# %% [markdown] zh
# # softmax 与交叉熵
#
# softmax 把得分变成概率；交叉熵说明概率错得有多离谱。这份笔记先按公式计算两者，分别用 NumPy 和 PyTorch，然后展示随手
# 拼在一起时会出什么问题。
#
# 在终端里看同样的内容：`crossent tour --lang zh`。英文版：`softmax_and_cross_entropy.ipynb`。

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import crossent

np.set_printoptions(precision=4, suppress=True)
torch.set_printoptions(precision=4)
plt.rcParams.update({"figure.dpi": 80, "axes.grid": True, "grid.alpha": 0.3})

# %% [markdown]
# ## 1. Softmax
#
# $$p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# Every probability is positive, and together they sum to 1. First in NumPy, by the formula and by `crossent`:

# %% [markdown] zh
# ## 1. softmax
#
# $$p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# 每个概率都是正数，总和为 1。先用 NumPy，一次按公式，一次用 `crossent`：


# %%
def plain_softmax(x):
    return np.exp(x) / np.sum(np.exp(x), axis=0)


x = np.array([2.0, 1.0, 0.1])
print("formula: ", plain_softmax(x))
print("crossent:", crossent.softmax(x))

figure, axes = plt.subplots(figsize=(7, 2.4), layout="constrained")
bars = axes.barh([f"score {score}" for score in x], crossent.softmax(x))
axes.bar_label(bars, fmt="%.4f", padding=3)
axes.set(xlim=(0, 1), xlabel="probability", title="Softmax of [2.0, 1.0, 0.1]")
axes.invert_yaxis()
plt.show()

# %% [markdown]
# In PyTorch the axis has to be named; `crossent` takes the last one, where the classes usually are.

# %% [markdown] zh
# 在 PyTorch 中必须指明轴；`crossent` 默认取最后一个轴，类别通常就在那里。

# %%
y = torch.tensor([2.0, 1.0, 0.1])
print("torch.softmax:   ", torch.softmax(y, dim=0))
print("y.softmax:       ", y.softmax(dim=0))
print("crossent.softmax:", crossent.softmax(y))

# %% [markdown]
# With several samples the rows must sum to 1. Along the wrong axis nothing fails, but the columns sum to 1 instead.

# %% [markdown] zh
# 有多个样本时，每一行的和应当是 1。轴选错了并不会报错，只是和为 1 的变成了各列。

# %%
rows = np.array([[2.0, 1.0, 0.1], [0.5, 2.0, 0.3]])
by_rows, by_columns = crossent.softmax(rows), crossent.softmax(rows, axis=0)
print("by rows:\n", by_rows, "sums of the rows:", by_rows.sum(axis=1))
print("by columns:\n", by_columns, "sums of the rows:", by_columns.sum(axis=1))

# %% [markdown]
# Dividing the scores by a *temperature* first makes softmax bolder (below 1: the winner takes all) or more cautious
# (above 1: all classes become alike). The order of the classes never changes.

# %% [markdown] zh
# 先把得分除以一个*温度*，softmax 就会更大胆（小于 1：赢家通吃）或更谨慎（大于 1：各类别越来越接近）。类别的排序始终
# 不变。

# %%
temperatures = np.geomspace(0.1, 10, 100)
probabilities = np.stack([crossent.softmax(x, temperature=t) for t in temperatures])
figure, axes = plt.subplots(figsize=(7, 3.6))
for curve, score in zip(probabilities.T, x, strict=True):
    axes.plot(temperatures, curve, label=f"score {score}")
axes.axvline(1, color="grey", linestyle=":", label="temperature 1")
axes.set(xscale="log", xlabel="temperature", ylabel="probability", title="Softmax of [2.0, 1.0, 0.1] by temperature")
axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
axes.legend()
plt.show()

# %% [markdown]
# ## 2. Cross-entropy of probabilities
#
# $$\text{loss} = -\sum_i Y_i \log p_i$$
#
# where $Y$ is 1 at the true class and 0 elsewhere (*one-hot*). The lower the better.

# %% [markdown] zh
# ## 2. 概率的交叉熵
#
# $$\text{loss} = -\sum_i Y_i \log p_i$$
#
# 其中 $Y$ 在正确类别处为 1，其余为 0（*独热编码*）。数值越低越好。


# %%
def plain_cross_entropy(actual, predicted):
    return -np.sum(actual * np.log(predicted))


Y = np.array([1, 0, 0])
p_good = np.array([0.7, 0.2, 0.1])
p_bad = np.array([0.1, 0.3, 0.6])
print(f"Loss_good: {plain_cross_entropy(Y, p_good):.4f}")
print(f"Loss_bad:  {plain_cross_entropy(Y, p_bad):.4f}")

# %% [markdown]
# Only the logarithm at the true class is left over, so its index is enough. Probabilities go into `crossent.nll_loss`,
# as logarithms:

# %% [markdown] zh
# 最后只剩下正确类别的那个对数，所以有它的索引就够了。概率取对数之后交给 `crossent.nll_loss`：

# %%
true_class = np.array([0])
print(f"Loss_good: {crossent.nll_loss(np.log([p_good]), true_class):.4f}")
print(f"Loss_bad:  {crossent.nll_loss(np.log([p_bad]), true_class):.4f}")

# %% [markdown]
# The loss grows slowly while the true class is likely, and without bound as its probability goes to 0: being sure and
# wrong is expensive.

# %% [markdown] zh
# 正确类别的概率较高时，损失增长缓慢；概率趋于 0 时，损失没有上限：有把握却错误，代价很高。

# %%
p = np.linspace(0.005, 1, 200)
losses = crossent.nll_loss(np.log(np.stack([p, 1 - p + 1e-300], axis=1)), np.zeros(200, dtype=int), reduction="none")
figure, axes = plt.subplots(figsize=(7, 3.6))
axes.plot(p, losses)
for name, probability in (("good: 0.7", 0.7), ("bad: 0.1", 0.1)):
    loss = -np.log(probability)
    axes.plot(probability, loss, "o", color="tab:red")
    axes.annotate(f"{name}, loss {loss:.4f}", (probability, loss), (8, 6), textcoords="offset points")
axes.set(xlabel="probability of the true class", ylabel="loss", title="Cross-entropy: minus the logarithm")
plt.show()

# %% [markdown]
# ## 3. Cross-entropy of scores
#
# A network gives raw scores (*logits*). `cross_entropy` takes them as they are: it has log-softmax and the negative
# log-likelihood inside, so **no softmax belongs in front of it**. One sample, three classes:

# %% [markdown] zh
# ## 3. 得分的交叉熵
#
# 网络给出的是原始得分（*logits*）。`cross_entropy` 直接接收它们：内部先做 log-softmax，再做负对数似然，所以**前面不要
# 再加 softmax**。一个样本，三个类别：

# %%
Y = torch.tensor([0])
good = torch.tensor([[2.0, 1.0, 0.1]])
bad = torch.tensor([[0.5, 2.0, 0.3]])
criterion = nn.CrossEntropyLoss()
by_numpy = [crossent.cross_entropy(scores.numpy(), Y.numpy()) for scores in (good, bad)]
print(f"torch:    {criterion(good, Y):.4f} {criterion(bad, Y):.4f}")
print(f"crossent: {crossent.cross_entropy(good, Y):.4f} {crossent.cross_entropy(bad, Y):.4f}")
print(f"NumPy:    {by_numpy[0]:.4f} {by_numpy[1]:.4f}")

# %% [markdown]
# The prediction is the class with the highest score. `torch.max(x, 1)` looks along dimension 1, so at each row, and
# gives two things at once: the highest score (`values`) and where it is (`indices`). The pair can be printed as it
# is, or taken apart.

# %% [markdown] zh
# 预测的类别就是得分最高的那个。`torch.max(x, 1)` 沿维度 1、也就是在每一行里查找，一次给出两样东西：最高得分（
# `values`）和它的位置（`indices`）。可以整个打印，也可以拆成两个变量。

# %%
prediction1 = torch.max(good, 1)
prediction2 = torch.max(bad, 1)
print(f"prediction1: {prediction1}")
print(f"prediction2: {prediction2}")

prediction1_max, prediction1_index = torch.max(good, 1)
prediction2_max, prediction2_index = torch.max(bad, dim=1)
print(f"prediction1: {prediction1_max} {prediction1_index}")
print(f"prediction2: {prediction2_max} {prediction2_index}")

# %% [markdown]
# `crossent.predict` gives the index and its probability:

# %% [markdown] zh
# `crossent.predict` 给出索引和它的概率：

# %%
print("crossent:", *crossent.predict(good))
print("crossent:", *crossent.predict(bad))

# %% [markdown]
# ## 4. Several samples
#
# Three samples have three losses. They are averaged, unless `reduction` says otherwise.

# %% [markdown] zh
# ## 4. 多个样本
#
# 三个样本有三个损失。除非用 `reduction` 另作说明，否则取平均。

# %%
Y = torch.tensor([2, 0, 1])
good = torch.tensor([[0.1, 1.0, 2.1], [2.0, 1.0, 0.1], [0.1, 3.0, 0.1]])
bad = torch.tensor([[2.1, 1.0, 0.1], [0.1, 1.0, 2.1], [0.1, 3.0, 0.1]])
for reduction in ("mean", "sum"):
    losses = [crossent.cross_entropy(scores, Y, reduction=reduction) for scores in (good, bad)]
    print(f"{reduction}: {losses[0]:.4f} {losses[1]:.4f}")

# %%
print("none:", crossent.cross_entropy(good, Y, reduction="none"), crossent.cross_entropy(bad, Y, reduction="none"))
print("NumPy:", crossent.cross_entropy(good.numpy(), Y.numpy(), reduction="none"))

# %%
prediction1_max, prediction1_index = torch.max(good, 1)
prediction2_max, prediction2_index = torch.max(bad, dim=1)
print(f"prediction1: {prediction1_max} {prediction1_index}")
print(f"prediction2: {prediction2_max} {prediction2_index}")

# %% [markdown]
# ## 5. Two networks
#
# Linear, ReLU, linear, and then nothing: the loss has the softmax. Here are four random images of 28 × 28 and three
# classes, once forward and once backward.

# %% [markdown] zh
# ## 5. 两个网络
#
# 线性层、ReLU、线性层，然后什么都不加：softmax 在损失函数里。这里有四张 28 × 28 的随机图像和三个类别，做一次前向、一
# 次反向。

# %%
from crossent.models import BinaryMLP, MulticlassMLP

_ = torch.manual_seed(0)
images = torch.rand(4, 28, 28)
model = MulticlassMLP(input_size=28 * 28, hidden_size=5, num_classes=3)
loss = crossent.nn.CrossEntropyLoss()(model(images), torch.tensor([2, 0, 1, 2]))
loss.backward()
print("logits:", tuple(model(images).shape), "| loss:", f"{loss:.4f}")
print("gradient of the first layer:", tuple(model.linear1.weight.grad.shape))

# %% [markdown]
# For two classes one output is enough. A sigmoid makes it the probability $p$ of class 1, and `BCELoss` is the
# cross-entropy of $(p, 1 - p)$: $-(y \log p + (1 - y) \log(1 - p))$, averaged. This is how it is usually written, and
# it is right as long as $p$ does not round to 0 or 1 (more in the pitfalls).

# %% [markdown] zh
# 两个类别只要一个输出。sigmoid 把它变成类别 1 的概率 $p$，`BCELoss` 就是 $(p, 1 - p)$ 的交叉熵： $-(y \log p + (1 -
# y) \log(1 - p))$，再取平均。通常就是这样写的；只要 $p$ 没有被舍入成 0 或 1，结果就是对的（详见后面的坑）。


# %%
class BinaryNet(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.linear1 = nn.Linear(input_size, hidden_size)
        self.relu = nn.ReLU()
        self.linear2 = nn.Linear(hidden_size, 1)

    def forward(self, x):
        return torch.sigmoid(self.linear2(self.relu(self.linear1(x.flatten(1)))))


y = torch.tensor([[1.0], [0.0], [0.0], [1.0]])
y_pred = BinaryNet(input_size=28 * 28, hidden_size=5)(images)
print("probabilities:", y_pred.detach().flatten())
print(f"BCELoss: {nn.BCELoss()(y_pred, y):.4f} = {-(y * y_pred.log() + (1 - y) * (1 - y_pred).log()).mean():.4f}")

# %% [markdown]
# The same from the logit: `BCEWithLogitsLoss` has the sigmoid inside. Train on the logit; ask for the probability when
# you want to see it.

# %% [markdown] zh
# 从 logit 计算也一样：`BCEWithLogitsLoss` 内部已经包含 sigmoid。训练时用 logit，想看概率时再另外取。

# %%
model = BinaryMLP(input_size=28 * 28, hidden_size=5)
loss = crossent.nn.BCEWithLogitsLoss()(model(images), y)
loss.backward()
print("logits:", tuple(model(images).shape), "| loss:", f"{loss:.4f}")
print("probabilities:", model.probability(images).detach().flatten())

# %% [markdown]
# ## 6. Training: the loss falls
#
# Ninety real images of the handwritten digits 0, 1 and 2, of 8 × 8 points each:

# %% [markdown] zh
# ## 6. 训练：损失不断下降
#
# 九十张真实的手写数字 0、1、2，每张 8 × 8 个点：

# %%
digits, labels = crossent.tour.digits()
figure, places = plt.subplots(3, 15, figsize=(9, 2.6))
for place, image, label in zip(places.flat, digits, labels, strict=False):
    place.imshow(image, cmap="gray_r")
    place.set(title=label, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Forward, loss, backward, and a step of the optimizer against the gradient; the same ten lines for both networks, which
# differ in the number of logits and in the loss: one of three classes, or "is it a 1?".

# %% [markdown] zh
# 前向传播、损失、反向传播，然后由优化器逆着梯度走一步；两个网络用的是同样的十行代码，不同的只是 logit 的个数和损失函
# 数：一个是三选一，一个是“是不是 1？”。


# %%
def train(model, criterion, x, y, epochs=60):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    losses = []
    for _ in range(epochs):
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# %%
x, Y, y = torch.tensor(digits), torch.tensor(labels), torch.tensor(labels == 1, dtype=torch.float32)[:, None]
multiclass, binary = MulticlassMLP(8 * 8, 5, 3), BinaryMLP(8 * 8, 5)
curves = {
    "CrossEntropyLoss, three classes": train(multiclass, crossent.nn.CrossEntropyLoss(), x, Y),
    "BCEWithLogitsLoss, is it a 1?": train(binary, crossent.nn.BCEWithLogitsLoss(), x, y),
}
for name, losses in curves.items():
    print(f"{name}: loss {losses[0]:.3f} -> {losses[-1]:.3f}")
print(f"right: {(multiclass(x).argmax(1) == Y).sum()} of 90, and {((binary(x) > 0) == y).sum()} of 90")

# %%
figure, axes = plt.subplots(figsize=(7, 3.2))
for name, losses in curves.items():
    axes.plot(losses, label=name)
axes.set(xlabel="epoch", ylabel="loss", title="The loss falls", ylim=(0, None))
axes.legend()
plt.show()

# %% [markdown]
# ## 7. Pitfalls
#
# ### Softmax before cross-entropy
#
# A second softmax squeezes the scores into 0 … 1. Even a perfect network cannot bring the loss below
# $\log(e + C - 1) - 1$:

# %% [markdown] zh
# ## 7. 常见的坑
#
# ### 在交叉熵之前加 softmax
#
# 多做一次 softmax，会把得分压进 0 到 1 之间。即使网络完美无缺，损失也无法低于 $\log(e + C - 1) - 1$：

# %%
for classes in (2, 3, 10, 1000):
    perfect = 1000.0 * np.eye(classes)[:1]
    twice = crossent.cross_entropy(crossent.softmax(perfect), np.array([0]), check=False)  # crossent: ignore[X001]
    right = crossent.cross_entropy(perfect, np.array([0]))
    print(f"C = {classes:4}: right {right:.4f}, softmax twice {twice:.4f} = {np.log(np.e + classes - 1) - 1:.4f}")

# %% [markdown]
# Worse, the gradient vanishes where it is needed most. For cross-entropy alone the gradient at the scores is $p - q$
# (the probabilities minus the one-hot target): nearly −1 for a true class that was thought impossible. With a softmax
# in front that slope is multiplied by the softmax's own, which is nearly 0 there.

# %% [markdown] zh
# 更糟的是，最需要梯度的地方，梯度消失了。单独的交叉熵对得分的梯度是 $p - q$（概率减去独热目标）：如果正确类别被认为不
# 可能，它接近 −1。前面多了 softmax，这个斜率还要乘以 softmax 自己的斜率，而后者在那里几乎是 0。


# %%
def gradients(scores, targets, softmax_first):
    scores = scores.clone().requires_grad_()
    inputs = crossent.softmax(scores) if softmax_first else scores
    crossent.cross_entropy(inputs, targets, reduction="sum", check=False).backward()
    return scores.grad


sure_and_wrong, Y = torch.tensor([[10.0, 0.0, 0.0]]), torch.tensor([1])
print(f"right:         {gradients(sure_and_wrong, Y, False).abs().max():.5f}")
print(f"softmax twice: {gradients(sure_and_wrong, Y, True).abs().max():.2e}")

# %% [markdown]
# Two classes, from sure and right (left) to sure and wrong (right). The plain gradient is small where there is nothing
# to learn and large where there is much; with a second softmax it is small at both ends.

# %% [markdown] zh
# 两个类别，从有把握且正确（左）到有把握却错误（右）。没有多余的 softmax 时，没什么可学的地方梯度小，要学很多的地方梯
# 度大；多做一次 softmax，两端的梯度都很小。

# %%
gap = torch.linspace(-12, 12, 241, dtype=torch.float64)
scores = torch.stack([gap, torch.zeros(241)], dim=1)
targets = torch.ones(241, dtype=torch.int64)
figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for label, softmax_first in (("cross-entropy: p − q", False), ("softmax before it", True)):
    gradient = gradients(scores, targets, softmax_first)
    panels[0].plot(gap, gradient[:, 1], label=label)
    panels[1].plot(gap, gradient[:, 1].abs(), label=label)
panels[0].set(ylabel="gradient at the true class", title="The pull on the true class")
panels[1].set(ylabel="its size (log scale)", yscale="log", title="The same on a logarithmic scale")
for panel in panels:
    panel.set_xlabel("lead of the wrong class over the true one")
    panel.legend()
plt.show()

# %% [markdown]
# ### The logarithm of 0, and overflow
#
# `exp` of 1000 is more than a float64 can hold, and a probability can round to 0, whose logarithm is −∞. From the
# scores both are harmless:

# %% [markdown] zh
# ### 对 0 取对数，以及溢出
#
# 1000 的 `exp` 超出了 float64 的范围；概率可能被舍入成 0，而 0 的对数是 −∞。从得分出发，两者都无妨：

# %%
with np.errstate(all="ignore"):
    print("plain formula:", plain_softmax(np.array([1000.0, 999.0, 0.0])))
    print("log of 0:     ", plain_cross_entropy(np.array([0, 1]), crossent.softmax(np.array([1000.0, 0.0]))))
print("crossent.softmax: ", crossent.softmax(np.array([1000.0, 999.0, 0.0])))
print("crossent:         ", crossent.cross_entropy(np.array([[1000.0, 0.0]]), np.array([1])))

# %% [markdown]
# ### Index or one-hot?
#
# The same loss; the one-hot target takes as many numbers as there are classes.

# %% [markdown] zh
# ### 索引还是独热编码？
#
# 损失完全一样；独热目标要为每个类别都存一个数。

# %%
index = torch.tensor([2, 0, 1])
one_hot = torch.eye(3)[index]
print(f"index:   {crossent.cross_entropy(good, index):.4f}, {index.nbytes} bytes")
print(f"one-hot: {crossent.cross_entropy(good, one_hot):.4f}, {one_hot.nbytes} bytes")
print(f"with 1000 classes: {index.nbytes} bytes against {torch.eye(1000)[index].nbytes} bytes")

# %% [markdown]
# ### Sigmoid and BCELoss
#
# At logit 20 the sigmoid is 1 in float32. With target 0 the loss should be 20; `BCELoss` sees log 0, cuts it at −100,
# and the gradient is exactly 0: the worst sample teaches nothing. From the logit nothing is lost.

# %% [markdown] zh
# ### sigmoid 加 BCELoss
#
# logit 为 20 时，sigmoid 在 float32 中就是 1。目标为 0 时损失应当是 20；`BCELoss` 看到的却是 log 0，把它截断在 −100，
# 而梯度正好是 0：错得最厉害的样本，反而什么也教不了网络。从 logit 计算，什么都不会丢。

# %%
target = torch.tensor([0.0], dtype=torch.float64)
logit = torch.tensor([20.0], requires_grad=True)
loss = nn.BCELoss()(torch.sigmoid(logit), target.float())
loss.backward()
print(f"sigmoid + BCELoss: loss {loss:.4f}, gradient {logit.grad.item():.4f}")

logit = torch.tensor([20.0], dtype=torch.float64, requires_grad=True)
loss = crossent.binary_cross_entropy_with_logits(logit, target)
loss.backward()
print(f"BCE with logits:   loss {loss:.10f}, gradient {logit.grad.item():.4f}")
