"""The table of mistakes: what goes wrong, its number, its fix, an example of each; errors and findings quote it.

Run-time checks, the source linter, `crossent check --explain`, docs/rules.md and the tour take their words from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["RULES", "Rule", "floor_of_softmax"]


@dataclass(frozen=True)
class Rule:
    """One mistake. `level`: "wrong" computes something else; "inexact" loses digits; "note" costs little."""

    id: str
    title: str
    wrong: str
    fix: str
    bad: str
    good: str
    level: str = "wrong"
    loud: bool = False  # whether PyTorch raises too, with less to say


def floor_of_softmax(classes: int) -> float:
    """The loss that cross-entropy cannot fall below behind a softmax: log(e + C − 1) − 1."""
    return math.log(math.e + classes - 1) - 1


TORCH = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n"

_TABLE = (
    Rule(
        "X001",
        "softmax before cross-entropy",
        "cross-entropy has the softmax inside; with a second one before it the loss cannot fall below "
        "log(e + C - 1) - 1 (0.551 at C = 3, 1.461 at C = 10), and a sample that is confidently wrong gets a gradient "
        "10,000 times too small",
        "give the loss the raw scores: delete the softmax, and apply it where probabilities are shown",
        TORCH + "model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))\n"
        "loss = nn.CrossEntropyLoss()(model(torch.randn(8, 4)), torch.randint(0, 3, (8,)))\n",
        TORCH + "model = nn.Sequential(nn.Linear(4, 3))\n"
        "loss = nn.CrossEntropyLoss()(model(torch.randn(8, 4)), torch.randint(0, 3, (8,)))\n",
    ),
    Rule(
        "X002",
        "sigmoid before cross-entropy",
        "cross-entropy wants scores of any size; squeezed into 0 ... 1 by a sigmoid, the loss cannot fall below "
        "log(e + C - 1) - 1 (0.551 at C = 3, 1.461 at C = 10)",
        "delete the sigmoid; if a sample may have several labels at once, use binary cross-entropy with logits",
        TORCH + "model = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())\n"
        "loss = F.cross_entropy(model(torch.randn(32, 4)), torch.randint(0, 3, (32,)))\n",
        TORCH
        + "model = nn.Linear(4, 3)\nloss = F.cross_entropy(model(torch.randn(32, 4)), torch.randint(0, 3, (32,)))\n",
    ),
    Rule(
        "X003",
        "log_softmax before cross-entropy",
        "cross-entropy takes the log_softmax itself; a second one changes no number (it is idempotent) but costs a "
        "pass over the scores",
        "delete the log_softmax, or keep it and use nll_loss",
        TORCH + "log_p = F.log_softmax(nn.Linear(4, 3)(torch.randn(8, 4)), dim=1)\n"
        "loss = F.cross_entropy(log_p, torch.randint(0, 3, (8,)))\n",
        TORCH + "log_p = F.log_softmax(nn.Linear(4, 3)(torch.randn(8, 4)), dim=1)\n"
        "loss = F.nll_loss(log_p, torch.randint(0, 3, (8,)))\n",
        level="note",
    ),
    Rule(
        "X004",
        "sigmoid or softmax before binary cross-entropy with logits",
        "the loss has the sigmoid inside; with a second one a perfect sample still costs 0.313 (label 1) or 0.693 "
        "(label 0), 0.503 on average",
        "delete the sigmoid, or use the binary cross-entropy that takes probabilities",
        TORCH + "probs = torch.sigmoid(nn.Linear(4, 1)(torch.randn(32, 4)))\n"
        "loss = nn.BCEWithLogitsLoss()(probs, torch.ones(32, 1))\n",
        TORCH
        + "logits = nn.Linear(4, 1)(torch.randn(32, 4))\nloss = nn.BCEWithLogitsLoss()(logits, torch.ones(32, 1))\n",
    ),
    Rule(
        "X005",
        "probabilities into the negative log-likelihood",
        "nll_loss takes log-probabilities; of probabilities it gives minus p, a loss between -1 and 0 whose gradient "
        "does not grow where the model is wrong",
        "replace softmax by log_softmax, or give the raw scores to cross_entropy",
        TORCH + "probs = F.softmax(nn.Linear(4, 3)(torch.randn(8, 4)), dim=1)\n"
        "loss = nn.NLLLoss()(probs, torch.randint(0, 3, (8,)))\n",
        TORCH + "log_p = F.log_softmax(nn.Linear(4, 3)(torch.randn(8, 4)), dim=1)\n"
        "loss = nn.NLLLoss()(log_p, torch.randint(0, 3, (8,)))\n",
    ),
    Rule(
        "X006",
        "logits into the negative log-likelihood",
        "nll_loss takes log-probabilities; of raw scores it gives minus the true class's score, which falls without "
        "limit as the weights grow",
        "use cross_entropy, or put log_softmax before nll_loss",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\nloss = F.nll_loss(logits, torch.randint(0, 3, (8,)))\n",
        TORCH
        + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\nloss = F.cross_entropy(logits, torch.randint(0, 3, (8,)))\n",
    ),
    Rule(
        "X007",
        "logits into a loss that takes probabilities",
        "raw scores lie outside 0 ... 1: PyTorch raises (on a GPU, an assertion that kills the context), Keras clips "
        "them to 1e-7 ... 1 and learns little",
        "use the loss that takes logits: BCEWithLogitsLoss, or from_logits=True in Keras",
        TORCH + "logits = nn.Linear(4, 1)(10 * torch.randn(32, 4))\nloss = nn.BCELoss()(logits, torch.ones(32, 1))\n",
        TORCH + "logits = nn.Linear(4, 1)(10 * torch.randn(32, 4))\n"
        "loss = nn.BCEWithLogitsLoss()(logits, torch.ones(32, 1))\n",
        loud=True,
    ),
    Rule(
        "X008",
        "softmax without an axis",
        "without dim PyTorch guesses the axis from the number of axes: the first of one or three, the second of two or "
        "four; batches of sequences are normalised over the batch",
        "say dim=-1, or whichever axis holds the classes",
        TORCH + "probs = F.softmax(torch.randn(8, 3))\n",
        TORCH + "probs = F.softmax(torch.randn(8, 3), dim=1)\n",
    ),
    Rule(
        "X009",
        "softmax along the batch",
        "along the wrong axis nothing fails, but each class sums to 1 over the samples of the batch, so that a "
        "prediction depends on its neighbours",
        "use dim=1 or dim=-1, the axis of the classes",
        TORCH + "scores = nn.Linear(4, 3)(torch.randn(8, 2, 2).view(8, -1))\nprobs = F.softmax(scores, dim=0)\n",
        TORCH + "scores = nn.Linear(4, 3)(torch.randn(8, 2, 2).view(8, -1))\nprobs = F.softmax(scores, dim=1)\n",
    ),
    Rule(
        "X010",
        "one output unit with cross-entropy",
        "one class: softmax over one output unit is 1, so this loss is 0 for ever",
        "for a yes/no label use binary_cross_entropy_with_logits",
        TORCH + "logits = nn.Linear(4, 1)(torch.randn(8, 4))\n"
        "loss = F.cross_entropy(logits, torch.zeros(8, dtype=torch.long))\n",
        TORCH + "logits = nn.Linear(4, 1)(torch.randn(8, 4))\n"
        "loss = F.binary_cross_entropy_with_logits(logits, torch.zeros(8, 1))\n",
    ),
    Rule(
        "X011",
        "softmax over a single unit",
        "the softmax of one number is 1, whatever the number: the model predicts 1 for every sample and learns nothing",
        "use a sigmoid for one unit, or two units with softmax",
        TORCH + "model = nn.Sequential(nn.Linear(4, 1), nn.Softmax(dim=-1))\nprobs = model(torch.randn(8, 4))\n",
        TORCH + "model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())\nprobs = model(torch.randn(8, 4))\n",
    ),
    Rule(
        "X012",
        "argmax before the loss",
        "a predicted label has no gradient: argmax and round are flat almost everywhere, so nothing is learnt",
        "give the loss the scores themselves; take the argmax for the accuracy alone",
        TORCH + "logits = nn.Linear(4, 1)(torch.randn(8, 4))\npredicted = torch.round(torch.sigmoid(logits))\n"
        "loss = nn.BCELoss()(predicted, torch.ones(8, 1))\n",
        TORCH + "logits = nn.Linear(4, 1)(torch.randn(8, 4))\nloss = nn.BCEWithLogitsLoss()(logits, torch.ones(8, 1))\n"
        "predicted = torch.round(torch.sigmoid(logits))\n",
    ),
    Rule(
        "X013",
        "one-hot targets of an integer dtype",
        "PyTorch takes targets shaped like the scores for probabilities, which must be floating: it raises 'Expected "
        "floating point type for target with class probabilities, got Long'",
        "give the class indices themselves, or one_hot(...).float()",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\nlabels = torch.randint(0, 3, (8,))\n"
        "loss = F.cross_entropy(logits, F.one_hot(labels, 3))\n",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\nlabels = torch.randint(0, 3, (8,))\n"
        "loss = F.cross_entropy(logits, F.one_hot(labels, 3).float())\n",
        loud=True,
    ),
    Rule(
        "X014",
        "floating class indices",
        "a class index is a whole number: PyTorch raises 'expected scalar type Long but found Float'",
        "use labels.long()",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\n"
        "loss = F.cross_entropy(logits, torch.randint(0, 3, (8,)).float())\n",
        TORCH
        + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\nloss = F.cross_entropy(logits, torch.randint(0, 3, (8,)))\n",
        loud=True,
    ),
    Rule(
        "X015",
        "labels outside 0 ... C - 1",
        "class indices run from 0 to C - 1; a label C (counted from 1) or more raises on a CPU and kills the context "
        "of a GPU",
        "subtract 1 from 1-based labels, give the model an output for every class, or say ignore_index",
        TORCH
        + "logits = nn.Linear(4, 3)(torch.randn(3, 4))\nloss = F.cross_entropy(logits, torch.tensor([1, 2, 3]))\n",
        TORCH
        + "logits = nn.Linear(4, 3)(torch.randn(3, 4))\nloss = F.cross_entropy(logits, torch.tensor([0, 1, 2]))\n",
        loud=True,
    ),
    Rule(
        "X016",
        "targets of shape (N, 1)",
        "cross_entropy wants one index a sample, of shape (N,): PyTorch raises '0D or 1D target tensor expected, "
        "multi-target not supported'",
        "use target.squeeze(1)",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\n"
        "loss = F.cross_entropy(logits, torch.randint(0, 3, (8,)).view(-1, 1))\n",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\n"
        "loss = F.cross_entropy(logits, torch.randint(0, 3, (8,)).view(-1))\n",
        loud=True,
    ),
    Rule(
        "X017",
        "classes on the last axis",
        "cross_entropy takes axis 1 for the classes; scores (N, L, C) raise where L and C differ, and compute "
        "something else in silence where they are equal",
        "use scores.transpose(1, 2), flatten both to (N*L, C) and (N*L,), or crossent's axis=-1",
        TORCH + "hidden, _ = nn.LSTM(4, 5, batch_first=True)(torch.randn(8, 3, 4))\nlogits = nn.Linear(5, 3)(hidden)\n"
        "loss = F.cross_entropy(logits, torch.randint(0, 3, (8, 3)))\n",
        TORCH + "hidden, _ = nn.LSTM(4, 5, batch_first=True)(torch.randn(8, 3, 4))\nlogits = nn.Linear(5, 3)(hidden)\n"
        "loss = F.cross_entropy(logits.transpose(1, 2), torch.randint(0, 3, (8, 3)))\n",
    ),
    Rule(
        "X018",
        "(N,) against (N, 1) in a binary loss",
        "shapes (N,) and (N, 1) do not match: PyTorch raises today, and where they are broadcast the loss is the mean "
        "over N x N pairs",
        "squeeze the scores or unsqueeze the labels, so that both have one shape",
        TORCH + "logits = nn.Linear(4, 1)(torch.randn(8, 4)).view(-1)\nlabels = torch.ones(8).view(-1, 1)\n"
        "loss = nn.BCEWithLogitsLoss()(logits, labels)\n",
        TORCH + "logits = nn.Linear(4, 1)(torch.randn(8, 4)).view(-1)\nlabels = torch.ones(8).view(-1)\n"
        "loss = nn.BCEWithLogitsLoss()(logits, labels)\n",
        loud=True,
    ),
    Rule(
        "X019",
        "log(softmax(x)) written out",
        "a probability below 1e-45 rounds to 0 in float32, and its logarithm is -inf: the loss is infinite, its "
        "gradient NaN, from a gap of 104 between two scores on",
        "use log_softmax(x), which never forms the probability",
        TORCH + "log_p = torch.log(F.softmax(torch.tensor([[200.0, 0.0]]), dim=1))\n",
        TORCH + "log_p = F.log_softmax(torch.tensor([[200.0, 0.0]]), dim=1)\n",
        level="inexact",
    ),
    Rule(
        "X020",
        "log(sigmoid(x)) written out",
        "sigmoid(x) rounds to 0 below x = -104 in float32 and to 1 above 17, so that log(sigmoid(x)) is -inf and "
        "log(1 - sigmoid(x)) too",
        "use logsigmoid(x), and logsigmoid(-x) for the logarithm of 1 - sigmoid(x)",
        TORCH + "log_p = torch.log(torch.sigmoid(torch.tensor([-200.0])))\n",
        TORCH + "log_p = F.logsigmoid(torch.tensor([-200.0]))\n",
        level="inexact",
    ),
    Rule(
        "X021",
        "softmax without subtracting the maximum",
        "exp(x) overflows above x = 88.7 in float32 and 709.8 in float64, and inf / inf is NaN",
        "subtract the largest score first, exp(x - max(x)): the result is the same; or call a library's softmax",
        "import numpy as np\n\nscores = np.random.randn(8, 3)\n"
        "probs = np.exp(scores) / np.sum(np.exp(scores), axis=1, keepdims=True)\n",
        "import numpy as np\n\nscores = np.random.randn(8, 3)\n"
        "shifted = np.exp(scores - scores.max(axis=1, keepdims=True))\n"
        "probs = shifted / shifted.sum(axis=1, keepdims=True)\n",
        level="inexact",
    ),
    Rule(
        "X022",
        "the logarithm of a probability without a guard",
        "a probability can round to 0 or to 1, and log(0) is -inf: one sample makes the loss infinite, and 0 * log(0) "
        "makes it NaN",
        "compute the loss from the scores (log-softmax), or clip the probability first",
        "import numpy as np\n\nscores = np.random.randn(8, 3)\n"
        "e = np.exp(scores - scores.max(axis=1, keepdims=True))\nprobs = e / e.sum(axis=1, keepdims=True)\n"
        "loss = -np.mean(np.log(probs[np.arange(8), 0]))\n",
        "import numpy as np\n\nscores = np.random.randn(8, 3)\n"
        "e = np.exp(scores - scores.max(axis=1, keepdims=True))\nprobs = e / e.sum(axis=1, keepdims=True)\n"
        "loss = -np.mean(np.log(np.clip(probs[np.arange(8), 0], 1e-12, 1)))\n",
        level="inexact",
    ),
    Rule(
        "X023",
        "class weights of the wrong length",
        "weight has one number a class; PyTorch raises where its length is not C, and weights a sample belong "
        "elsewhere",
        "give C weights; weight the samples with reduction='none' or crossent's sample_weight",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\n"
        "loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))(logits, torch.randint(0, 3, (8,)))\n",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\n"
        "loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 2.0]))(logits, torch.randint(0, 3, (8,)))\n",
        loud=True,
    ),
    Rule(
        "X024",
        "probability targets that are no distribution",
        "target rows that are negative or do not sum to 1 are taken as they are: a target of -2 gives a loss of -8.93",
        "normalise the rows; for labels that hold at the same time use binary cross-entropy with logits",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(2, 4))\n"
        "loss = F.cross_entropy(logits, torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))\n",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(2, 4))\n"
        "loss = F.cross_entropy(logits, torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]))\n",
    ),
    Rule(
        "X025",
        "mean of micro-batch means",
        "with ignored targets the micro-batches count differently many of them, and the mean of their means is not the "
        "mean of the batch (2.0718 for 2.0611)",
        "sum the losses and divide by the number of targets of the whole batch (crossent's denominator)",
        TORCH + "model = nn.Linear(4, 3)\noptimizer = torch.optim.SGD(model.parameters())\n"
        "criterion = nn.CrossEntropyLoss(ignore_index=0)\nfor step in range(4):\n"
        "    loss = criterion(model(torch.randn(8, 4)), torch.randint(0, 3, (8,))) / 4\n    loss.backward()\n"
        "    if (step + 1) % 4 == 0:\n        optimizer.step()\n        optimizer.zero_grad()\n",
        TORCH + "model = nn.Linear(4, 3)\noptimizer = torch.optim.SGD(model.parameters())\n"
        'criterion = nn.CrossEntropyLoss(ignore_index=0, reduction="sum")\nlabels = torch.randint(0, 3, (4, 8))\n'
        "for step in range(4):\n"
        "    loss = criterion(model(torch.randn(8, 4)), labels[step]) / (labels != 0).sum()\n    loss.backward()\n"
        "    if (step + 1) % 4 == 0:\n        optimizer.step()\n        optimizer.zero_grad()\n",
    ),
    Rule(
        "X026",
        "accuracy at threshold 0.5 on logits",
        "a logit of 0 is the probability 0.5; a threshold of 0.5 on the logit is 0.62 on the probability, and misses "
        "positives",
        "compare the logit with 0, or take the sigmoid first",
        TORCH + "logits = nn.Linear(4, 1)(torch.randn(8, 4))\nlabels = torch.ones(8, 1)\n"
        "loss = nn.BCEWithLogitsLoss()(logits, labels)\naccuracy = ((logits > 0.5) == labels).float().mean()\n",
        TORCH + "logits = nn.Linear(4, 1)(torch.randn(8, 4))\nlabels = torch.ones(8, 1)\n"
        "loss = nn.BCEWithLogitsLoss()(logits, labels)\naccuracy = ((logits > 0) == labels).float().mean()\n",
    ),
    Rule(
        "X027",
        "a loss cut off from the model",
        ".item(), .detach(), .data, NumPy and a new tensor cut the graph: backward() raises, or with "
        "requires_grad=True succeeds and gives the model no gradient at all",
        "give the loss the model's own output; detach what is only printed",
        TORCH + "model = nn.Linear(4, 3)\nloss = F.cross_entropy(model(torch.randn(8, 4)), torch.randint(0, 3, (8,)))\n"
        "loss = torch.tensor(loss.item(), requires_grad=True)\nloss.backward()\n",
        TORCH + "model = nn.Linear(4, 3)\nloss = F.cross_entropy(model(torch.randn(8, 4)), torch.randint(0, 3, (8,)))\n"
        "loss.backward()\nprint(loss.item())\n",
    ),
    Rule(
        "X028",
        "sigmoid, then the binary cross-entropy of probabilities",
        "sigmoid(20) rounds to 1 in float32: with label 0 the loss is 100 where it should be 20, and the gradient is 0",
        "use BCEWithLogitsLoss on the raw scores, and the sigmoid where probabilities are shown",
        TORCH
        + "probs = torch.sigmoid(nn.Linear(4, 1)(torch.randn(8, 4)))\nloss = nn.BCELoss()(probs, torch.ones(8, 1))\n",
        TORCH
        + "logits = nn.Linear(4, 1)(torch.randn(8, 4))\nloss = nn.BCEWithLogitsLoss()(logits, torch.ones(8, 1))\n",
        level="note",
    ),
    Rule(
        "X029",
        "probabilities into the Kullback-Leibler loss",
        "kl_div takes log-probabilities first; of probabilities it gives a number that is no divergence, and is "
        "negative where the two agree least",
        "replace the first softmax by log_softmax",
        TORCH + "p = F.softmax(torch.randn(8, 3), dim=1)\nq = F.softmax(torch.randn(8, 3), dim=1)\n"
        'loss = F.kl_div(p, q, reduction="batchmean")\n',
        TORCH + "log_p = F.log_softmax(torch.randn(8, 3), dim=1)\nq = F.softmax(torch.randn(8, 3), dim=1)\n"
        'loss = F.kl_div(log_p, q, reduction="batchmean")\n',
    ),
    Rule(
        "X030",
        "NaN among the scores",
        "the scores hold NaN or +inf: these rows are NaN, and so is everything that averages over them",
        "look for the first layer whose output is not finite: a learning rate too high, a division by 0, log of 0",
        TORCH + 'logits = nn.Linear(4, 3)(torch.full((8, 4), float("nan")))\n'
        "loss = F.cross_entropy(logits, torch.zeros(8, dtype=torch.long))\n",
        TORCH + "logits = nn.Linear(4, 3)(torch.zeros(8, 4))\n"
        "loss = F.cross_entropy(logits, torch.zeros(8, dtype=torch.long))\n",
    ),
    Rule(
        "X031",
        "a loss for Transformers' Trainer that ignores num_items_in_batch",
        "under gradient accumulation Trainer divides nothing more when compute_loss_func is given: the means of the "
        "micro-batches are added up, so that loss and gradient are as many times too large as there are steps",
        "sum the loss and divide by num_items_in_batch: reduction='sum', or crossent's denominator=num_items_in_batch",
        TORCH + "\ndef compute_loss(outputs, labels, num_items_in_batch=None):\n"
        "    return F.cross_entropy(outputs.logits.flatten(0, -2), labels.flatten())\n\n\n"
        "def trainer_of(model, data):\n    from transformers import Trainer, TrainingArguments\n\n"
        '    arguments = TrainingArguments("run", gradient_accumulation_steps=4)\n'
        "    return Trainer(model, arguments, train_dataset=data, compute_loss_func=compute_loss)\n",
        TORCH + "\ndef compute_loss(outputs, labels, num_items_in_batch=None):\n"
        '    total = F.cross_entropy(outputs.logits.flatten(0, -2), labels.flatten(), reduction="sum")\n'
        "    return total / num_items_in_batch\n\n\n"
        "def trainer_of(model, data):\n    from transformers import Trainer, TrainingArguments\n\n"
        '    arguments = TrainingArguments("run", gradient_accumulation_steps=4)\n'
        "    return Trainer(model, arguments, train_dataset=data, compute_loss_func=compute_loss)\n",
    ),
    Rule(
        "X032",
        "a causal loss of one's own in Transformers' LOSS_MAPPING",
        "Trainer counts the labels without position 0 only where the model's entry in LOSS_MAPPING is ForCausalLMLoss "
        "itself; under any other function num_items_in_batch counts one label a sequence too many",
        "set model.loss_function to the function, and leave LOSS_MAPPING as it is",
        TORCH + "\ndef install(loss):\n    from transformers.loss.loss_utils import LOSS_MAPPING, ForCausalLMLoss\n\n"
        "    def causal_loss(logits, labels, vocab_size, **options):\n"
        "        return ForCausalLMLoss(logits / 2, labels, vocab_size, **options)\n\n"
        '    LOSS_MAPPING["MyCausalLM"] = causal_loss\n',
        TORCH + "\ndef install(model):\n    from transformers.loss.loss_utils import ForCausalLMLoss\n\n"
        "    def causal_loss(logits, labels, vocab_size, **options):\n"
        "        return ForCausalLMLoss(logits / 2, labels, vocab_size, **options)\n\n"
        "    model.loss_function = causal_loss\n",
    ),
    Rule(
        "X033",
        "a mean that counts ignored rows",
        "with reduction='none' an ignored row is 0 and stays in the mean: the loss and its gradient shrink with the "
        "number of ignored rows",
        "use reduction='mean', or divide the sum by the number of rows that are not ignored",
        TORCH + "logits, labels = nn.Linear(4, 3)(torch.randn(8, 4)), torch.tensor([0, 1, 2, 0, 1, 2, 255, 255])\n"
        'loss = F.cross_entropy(logits, labels, ignore_index=255, reduction="none").mean()\n',
        TORCH + "logits, labels = nn.Linear(4, 3)(torch.randn(8, 4)), torch.tensor([0, 1, 2, 0, 1, 2, 255, 255])\n"
        "loss = F.cross_entropy(logits, labels, ignore_index=255)\n",
    ),
    Rule(
        "X034",
        "the logarithm of a probability with a guard",
        "log(softmax(x) + 1e-8) is finite, but bounded by log(1e-8): below it the gradient fades, and where p is near "
        "1 the guard shifts the loss; the exact form needs no guard",
        "use log_softmax, logsigmoid, or the loss that takes scores",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\nlog_p = torch.log(F.softmax(logits, dim=1) + 1e-8)\n",
        TORCH + "logits = nn.Linear(4, 3)(torch.randn(8, 4))\nlog_p = F.log_softmax(logits, dim=1)\n",
        level="note",
    ),
)

RULES = {rule.id: rule for rule in _TABLE}
