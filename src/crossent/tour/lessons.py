"""The first chapters: softmax, cross-entropy, its reductions, two networks that end in logits, and their training."""

from __future__ import annotations

from .session import Chapter, Step

__all__ = ["LESSONS"]

SOFTMAX = Chapter(
    "softmax",
    (
        Step(
            "formula",
            code="""\
x = array([2.0, 1.0, 0.1])
by_hand = exp(x) / exp(x).sum(0)
by_crossent = crossent.softmax(x)""",
            shows=("by_hand", "by_crossent"),
            bars=(("by_crossent", "class"),),
        ),
        Step(
            "axis",
            code="""\
rows = array([[2.0, 1.0, 0.1], [0.5, 2.0, 0.3]])
by_rows = crossent.softmax(rows)
sums = by_rows.sum(1)
by_columns = crossent.softmax(rows, axis=0)
wrong_sums = by_columns.sum(1)""",
            torch="""\
by_torch = torch.softmax(x, dim=0)
by_method = x.softmax(dim=0)""",
            shows=("by_torch", "by_method", "by_rows", "sums", "by_columns", "wrong_sums"),
        ),
    ),
)

PROBABILITIES = Chapter(
    "probabilities",
    (
        Step(
            "one_hot",
            code="""\
Y = array([1, 0, 0])
p_good = array([0.7, 0.2, 0.1])
p_bad = array([0.1, 0.3, 0.6])
loss_good = -(Y * log(p_good)).sum()
loss_bad = -(Y * log(p_bad)).sum()""",
            shows=("loss_good", "loss_bad"),
        ),
        Step(
            "nll",
            code="""\
label = array([0])
nll_good = crossent.nll_loss(log(p_good)[None], label)
nll_bad = crossent.nll_loss(log(p_bad)[None], label)""",
            shows=("nll_good", "nll_bad"),
        ),
    ),
)

LOGITS = Chapter(
    "logits",
    (
        Step(
            "one_sample",
            code="""\
Y = array([0])
good = array([[2.0, 1.0, 0.1]])
bad = array([[0.5, 2.0, 0.3]])
loss_good = crossent.cross_entropy(good, Y)
loss_bad = crossent.cross_entropy(bad, Y)""",
            shows=("loss_good", "loss_bad"),
        ),
        Step(
            "two_halves",
            code="""\
halves_good = crossent.nll_loss(crossent.log_softmax(good), Y)
halves_bad = crossent.nll_loss(crossent.log_softmax(bad), Y)""",
            torch="""\
criterion = torch.nn.CrossEntropyLoss()
torch_good = criterion(good, Y)
torch_bad = criterion(bad, Y)""",
            shows=("halves_good", "halves_bad", "torch_good", "torch_bad"),
        ),
        Step(
            "one_prediction",
            code="""\
value_good, value_bad = amax(good, 1), amax(bad, 1)
label_good, p_good = crossent.predict(good)
label_bad, p_bad = crossent.predict(bad)""",
            shows=("value_good", "label_good", "p_good", "value_bad", "label_bad", "p_bad"),
        ),
        Step(
            "torch_max",
            numpy="""\
print("prediction1:", good.max(1), good.argmax(1))
print("prediction2:", bad.max(1), bad.argmax(1))""",
            torch="""\
prediction1 = torch.max(good, 1)  # dim 1: along each row
prediction2 = torch.max(bad, 1)
print("prediction1:", prediction1)
print("prediction2:", prediction2)
value, index = torch.max(good, dim=1)
print("prediction1:", value, index)
value, index = torch.max(bad, dim=1)
print("prediction2:", value, index)""",
        ),
    ),
)

SAMPLES = Chapter(
    "samples",
    (
        Step(
            "mean",
            code="""\
Y = array([2, 0, 1])
good = array([[0.1, 1.0, 2.1], [2.0, 1.0, 0.1], [0.1, 3.0, 0.1]])
bad = array([[2.1, 1.0, 0.1], [0.1, 1.0, 2.1], [0.1, 3.0, 0.1]])
mean_good = crossent.cross_entropy(good, Y)
mean_bad = crossent.cross_entropy(bad, Y)""",
            shows=("mean_good", "mean_bad"),
        ),
        Step(
            "predictions",
            code="""\
value_good, value_bad = amax(good, 1), amax(bad, 1)
label_good, p_good = crossent.predict(good)
label_bad, p_bad = crossent.predict(bad)""",
            torch="""\
prediction1_max, prediction1_index = torch.max(good, 1)
prediction2_max, prediction2_index = torch.max(bad, dim=1)
print(f"prediction1: {prediction1_max} {prediction1_index}")
print(f"prediction2: {prediction2_max} {prediction2_index}")""",
            shows=("value_good", "label_good", "p_good", "value_bad", "label_bad", "p_bad"),
        ),
        Step(
            "sum",
            code="""\
sum_good = crossent.cross_entropy(good, Y, reduction="sum")
sum_bad = crossent.cross_entropy(bad, Y, reduction="sum")""",
            shows=("sum_good", "sum_bad"),
        ),
        Step(
            "none",
            code="""\
each_good = crossent.cross_entropy(good, Y, reduction="none")
each_bad = crossent.cross_entropy(bad, Y, reduction="none")""",
            shows=("each_good", "each_bad"),
            bars=(("each_bad", "sample"),),
        ),
    ),
)

NETWORKS = Chapter(
    "networks",
    (
        Step(
            "multiclass",
            code="""\
generator = np.random.default_rng(7)
def draw(*shape):
    return array(generator.standard_normal(shape, dtype="float32"))
images = draw(4, 28, 28)
W1, b1 = draw(5, 28 * 28) / 28, draw(5)
W2, b2 = draw(3, 5), draw(3)
Y = array([2, 0, 1, 2])""",
            numpy="""\
x = images.reshape(4, 28 * 28)
hidden = np.maximum(x @ W1.T + b1, 0)
logits = hidden @ W2.T + b2
loss, slope = crossent.cross_entropy_with_grad(logits, Y)
b2_grad = slope.sum(0)
b1_grad = (slope @ W2 * (hidden > 0)).sum(0)
shape = logits.shape""",
            torch="""\
from crossent.models import BinaryMLP, MulticlassMLP
model = MulticlassMLP(input_size=28 * 28, hidden_size=5, num_classes=3)
for parameter, value in zip(model.parameters(), (W1, b1, W2, b2)):
    parameter.data = value
logits = model(images)
loss = crossent.nn.CrossEntropyLoss()(logits, Y)
loss.backward()
b2_grad = model.linear2.bias.grad
b1_grad = model.linear1.bias.grad
shape = logits.shape""",
            shows=("shape", "loss", "b2_grad", "b1_grad"),
            digits=3,
        ),
        Step(
            "sigmoid",
            code="""\
w2, b2 = draw(1, 5), draw(1)
y = array([[0.0], [0.0], [0.0], [1.0]])""",
            numpy="""\
p = 1 / (1 + exp(-(hidden @ w2.T + b2)))
loss = crossent.binary_cross_entropy(p, y)
by_formula = -(y * log(p) + (1 - y) * log(1 - p)).mean()""",
            torch="""\
model = BinaryMLP(input_size=28 * 28, hidden_size=5)
for parameter, value in zip(model.parameters(), (W1, b1, w2, b2)):
    parameter.data = value
p = torch.sigmoid(model(images))
loss = torch.nn.BCELoss()(p, y)
by_formula = -(y * log(p) + (1 - y) * log(1 - p)).mean()""",
            shows=("p", "loss", "by_formula"),
            digits=3,
        ),
        Step(
            "binary",
            numpy="""\
logits = hidden @ w2.T + b2
loss = crossent.binary_cross_entropy_with_logits(logits, y)
slope = (p - y) / 4
b2_grad = slope.sum(0)
b1_grad = (slope @ w2 * (hidden > 0)).sum(0)""",
            torch="""\
loss = crossent.nn.BCEWithLogitsLoss()(model(images), y)
loss.backward()
b2_grad = model.linear2.bias.grad
b1_grad = model.linear1.bias.grad""",
            shows=("loss", "b2_grad", "b1_grad"),
            digits=3,
        ),
    ),
)

TRAINING = Chapter(
    "training",
    (
        Step(
            "learn",
            code="""\
from crossent.tour import digits
images, labels = digits()
x, Y = array(images.reshape(-1, 8 * 8)), array(labels)
generator = np.random.default_rng(7)
def draw(*shape):
    return array(generator.standard_normal(shape, dtype="float32"))
W1, b1 = draw(5, 8 * 8) / 8, draw(5)
W2, b2 = draw(3, 5) / 2, draw(3)
losses = []""",
            numpy="""\
for epoch in range(30):
    hidden = np.maximum(x @ W1.T + b1, 0)
    logits = hidden @ W2.T + b2
    loss, slope = crossent.cross_entropy_with_grad(logits, Y)
    back = slope @ W2 * (hidden > 0)
    W2, b2 = W2 - 0.2 * slope.T @ hidden, b2 - 0.2 * slope.sum(0)
    W1, b1 = W1 - 0.2 * back.T @ x, b1 - 0.2 * back.sum(0)
    losses.append(loss.item())
first, last = losses[0], losses[-1]
accuracy = (logits.argmax(1) == Y).mean()""",
            torch="""\
from crossent.models import BinaryMLP, MulticlassMLP
model = MulticlassMLP(input_size=8 * 8, hidden_size=5, num_classes=3)
for parameter, value in zip(model.parameters(), (W1, b1, W2, b2)):
    parameter.data = value
criterion = crossent.nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
for epoch in range(30):
    logits = model(x)
    loss = criterion(logits, Y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
first, last = losses[0], losses[-1]
accuracy = (logits.argmax(1) == Y).double().mean()""",
            shows=("first", "last", "accuracy"),
            bars=(("losses", "epoch"),),
            digits=3,
        ),
        Step(
            "learn_binary",
            code="""\
y = array((labels == 1).astype("float32"))[:, None]  # is it a 1?
W1, b1 = draw(5, 8 * 8) / 8, draw(5)
w2, b2 = draw(1, 5) / 2, draw(1)
losses = []""",
            numpy="""\
for epoch in range(30):
    hidden = np.maximum(x @ W1.T + b1, 0)
    logits = hidden @ w2.T + b2
    loss = crossent.binary_cross_entropy_with_logits(logits, y)
    slope = (1 / (1 + exp(-logits)) - y) / len(y)
    back = slope @ w2 * (hidden > 0)
    w2, b2 = w2 - 0.2 * slope.T @ hidden, b2 - 0.2 * slope.sum(0)
    W1, b1 = W1 - 0.2 * back.T @ x, b1 - 0.2 * back.sum(0)
    losses.append(loss.item())
first, last = losses[0], losses[-1]
accuracy = ((logits > 0) == y).mean()""",
            torch="""\
model = BinaryMLP(input_size=8 * 8, hidden_size=5)
for parameter, value in zip(model.parameters(), (W1, b1, w2, b2)):
    parameter.data = value
criterion = crossent.nn.BCEWithLogitsLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
for epoch in range(30):
    logits = model(x)
    loss = criterion(logits, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
first, last = losses[0], losses[-1]
accuracy = ((logits > 0) == y).double().mean()""",
            shows=("first", "last", "accuracy"),
            bars=(("losses", "epoch"),),
            digits=3,
        ),
    ),
)

LESSONS = (SOFTMAX, PROBABILITIES, LOGITS, SAMPLES, NETWORKS, TRAINING)
