"""The last chapter: what goes wrong with softmax and cross-entropy, each shown by a number next to the right one."""

from __future__ import annotations

from .session import Chapter, Step

__all__ = ["PITFALLS"]

PITFALLS = Chapter(
    "pitfalls",
    (
        Step(
            "floor",
            code="""\
C = (2, 3, 10, 1000)
perfect = [1000 * eye(n)[:1] for n in C]
Y = array([0])
right = array([crossent.cross_entropy(z, Y) for z in perfect])
doubled = [crossent.softmax(z) for z in perfect]
twice = array([crossent.cross_entropy(p, Y, check=False) for p in doubled])
formula = array([math.log(math.e + n - 1) - 1 for n in C])""",
            shows=("C", "right", "twice", "formula"),
            rule="X001",
        ),
        Step(
            "vanishing",
            code="""\
z, Y = array([[10.0, 0.0, 0.0]]), array([1])
right_loss, right_gradient = crossent.cross_entropy_with_grad(z, Y)
p = crossent.softmax(z)
twice_loss, slope = crossent.cross_entropy_with_grad(p, Y, check=False)
twice_gradient = p * (slope - (p * slope).sum())
right_largest = abs(right_gradient).max()
twice_largest = abs(twice_gradient).max()""",
            shows=("right_loss", "twice_loss", "right_largest", "twice_largest"),
            digits=5,
            rule="X001",
        ),
        Step(
            "log_zero",
            code="""\
z, Y = array([[1000.0, 0.0]]), array([1])
p = crossent.softmax(z)
by_hand = -log(p)[0, 1]
by_crossent = crossent.cross_entropy(z, Y)
one_hot, perfect = array([1.0, 0.0]), array([1.0, 0.0])
perfect_by_hand = -(one_hot * log(perfect)).sum()
perfect_by_crossent = crossent.nll_loss(log(perfect)[None], array([0]))""",
            shows=("p", "by_hand", "by_crossent", "perfect_by_hand", "perfect_by_crossent"),
            rule="X019",
        ),
        Step(
            "overflow",
            code="""\
z = array([1000.0, 999.0, 0.0])
by_hand = exp(z) / exp(z).sum()
by_crossent = crossent.softmax(z)
largest = math.log(finfo(z.dtype).max)""",
            shows=("by_hand", "by_crossent", "largest"),
            rule="X021",
        ),
        Step(
            "index",
            code="""\
z = array([[0.1, 1.0, 2.1], [2.0, 1.0, 0.1], [0.1, 3.0, 0.1]])
index = array([2, 0, 1])
one_hot = eye(3)[index]
index_loss = crossent.cross_entropy(z, index)
one_hot_loss = crossent.cross_entropy(z, one_hot)
index_bytes = index.nbytes
one_hot_bytes = one_hot.nbytes
bytes_of_1000_classes = eye(1000)[index].nbytes""",
            shows=("index_loss", "one_hot_loss", "index_bytes", "one_hot_bytes", "bytes_of_1000_classes"),
        ),
        Step(
            "saturation",
            code="""\
z, y = array([20.0], dtype=float32), array([0.0], dtype=float32)""",
            numpy="""\
p = 1 / (1 + exp(-z))
sigmoid_loss = crossent.binary_cross_entropy(p, y)
slope = p * (1 - p)
sigmoid_gradient = (p - y) / np.maximum(slope, 1e-12) * slope""",
            torch="""\
z.requires_grad_()
p = torch.sigmoid(z)
sigmoid_loss = torch.nn.BCELoss()(p, y)
sigmoid_loss.backward()
sigmoid_gradient = z.grad""",
            shows=("p", "sigmoid_loss", "sigmoid_gradient"),
            rule="X028",
        ),
        Step(
            "with_logits",
            code="""\
z, y = array([20.0], dtype=float64), array([0.0], dtype=float64)""",
            numpy="""\
logits_loss = crossent.binary_cross_entropy_with_logits(z, y)
pair = array([[0.0, 20.0]])
pair_loss, slope = crossent.cross_entropy_with_grad(pair, array([0]))
logits_gradient = slope[:, 1]""",
            torch="""\
z.requires_grad_()
logits_loss = crossent.binary_cross_entropy_with_logits(z, y)
logits_loss.backward()
pair = array([[0.0, 20.0]], dtype=float64)
pair_loss = crossent.cross_entropy(pair, array([0]))
logits_gradient = z.grad""",
            shows=("logits_loss", "pair_loss", "logits_gradient"),
            digits=10,
        ),
    ),
)
