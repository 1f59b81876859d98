"""The first chapters: softmax, cross-entropy, its reductions, and two networks that end in logits."""

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
            shows=("by_torch", "by_method", "sums", "wrong_sums"),
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
            "binary",
            code="""\
w2, b2 = draw(1, 5), draw(1)
y = array([[0.0], [0.0], [0.0], [1.0]])""",
            numpy="""\
logits = hidden @ w2.T + b2
p = 1 / (1 + exp(-logits))
loss = crossent.binary_cross_entropy_with_logits(logits, y)
slope = (p - y) / 4
b2_grad = slope.sum(0)
b1_grad = (slope @ w2 * (hidden > 0)).sum(0)""",
            torch="""\
model = BinaryMLP(input_size=28 * 28, hidden_size=5)
for parameter, value in zip(model.parameters(), (W1, b1, w2, b2)):
    parameter.data = value
p = model.probability(images)
loss = crossent.nn.BCEWithLogitsLoss()(model(images), y)
loss.backward()
b2_grad = model.linear2.bias.grad
b1_grad = model.linear1.bias.grad""",
            shows=("p", "loss", "b2_grad", "b1_grad"),
            digits=3,
        ),
    ),
)

LESSONS = (SOFTMAX, PROBABILITIES, LOGITS, SAMPLES, NETWORKS)
