# %% [markdown]
# # Softmax and cross-entropy
#
# Softmax turns scores into probabilities; cross-entropy says how wrong the probabilities are. This notebook computes
# both by the formula, in NumPy and in PyTorch, and then shows what goes wrong when they are put together carelessly.
#
# The same story in a terminal: `crossent tour`, and in Chinese (中文版): `crossent tour --lang zh`.

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


# %%
def plain_softmax(x):
    return np.exp(x) / np.sum(np.exp(x), axis=0)


x = np.array([2.0, 1.0, 0.1])
print("formula:", plain_softmax(x))
print("crossent:   ", crossent.softmax(x))

# %% [markdown]
# In PyTorch the axis has to be named; `crossent` takes the last one, where the classes usually are.

# %%
y = torch.tensor([2.0, 1.0, 0.1])
print("torch.softmax:", torch.softmax(y, dim=0))
print("y.softmax:    ", y.softmax(dim=0))
print("crossent.softmax: ", crossent.softmax(y))

# %% [markdown]
# Dividing the scores by a *temperature* first makes softmax bolder (below 1: the winner takes all) or more cautious
# (above 1: all classes become alike). The order of the classes never changes.

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

# %%
true_class = np.array([0])
print(f"Loss_good: {crossent.nll_loss(np.log([p_good]), true_class):.4f}")
print(f"Loss_bad:  {crossent.nll_loss(np.log([p_bad]), true_class):.4f}")

# %% [markdown]
# The loss grows slowly while the true class is likely, and without bound as its probability goes to 0: being sure and
# wrong is expensive.

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

# %%
Y = torch.tensor([0])
good = torch.tensor([[2.0, 1.0, 0.1]])
bad = torch.tensor([[0.5, 2.0, 0.3]])
criterion = nn.CrossEntropyLoss()
print(f"torch: {criterion(good, Y):.4f} {criterion(bad, Y):.4f}")
print(f"crossent:  {crossent.cross_entropy(good, Y):.4f} {crossent.cross_entropy(bad, Y):.4f}")
print(
    f"NumPy: {crossent.cross_entropy(good.numpy(), Y.numpy()):.4f} {crossent.cross_entropy(bad.numpy(), Y.numpy()):.4f}"
)

# %% [markdown]
# The prediction is the class with the highest score. `torch.max` finds score and index; `crossent.predict` gives the
# index and its probability.

# %%
for scores in (good, bad):
    value, index = torch.max(scores, dim=1)
    label, probability = crossent.predict(scores)
    print(value, index, "| crossent:", label, probability)

# %% [markdown]
# ## 4. Several samples
#
# Three samples have three losses. They are averaged, unless `reduction` says otherwise.

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
for scores in (good, bad):
    value, index = torch.max(scores, dim=1)
    print("prediction:", value, index)

# %% [markdown]
# ## 5. Two networks
#
# Linear, ReLU, linear, and then nothing: the loss has the softmax. Here are four random images of 28 × 28 and three
# classes, once forward and once backward.

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
# For two classes one logit is enough. Train on the logit; ask for the probability when you want to see it.

# %%
model = BinaryMLP(input_size=28 * 28, hidden_size=5)
loss = crossent.nn.BCEWithLogitsLoss()(model(images), torch.tensor([[1.0], [0.0], [0.0], [1.0]]))
loss.backward()
print("logits:", tuple(model(images).shape), "| loss:", f"{loss:.4f}")
print("probabilities:", model.probability(images).detach().flatten())

# %% [markdown]
# ## 6. Pitfalls
#
# ### Softmax before cross-entropy
#
# A second softmax squeezes the scores into 0 … 1. Even a perfect network cannot bring the loss below
# $\log(e + C - 1) - 1$:

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
