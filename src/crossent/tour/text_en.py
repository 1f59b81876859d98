"""The tour in English, in ASCII."""

from __future__ import annotations

__all__ = ["TEXT"]

TEXT = {
    "tour": "Softmax and cross-entropy, step by step",
    "intro": "Every number below is computed while you read. One code serves both columns; only the imports differ:",
    "result": "result",
    "only": "{library} only:",
    "warns": "warning in {library}: {message}",
    "rule": "{rule} {title}: crossent check --explain {rule}",
    "prints": "{library} prints:",
    "class": "class",
    "sample": "sample",
    "epoch": "epoch",
    "no_torch": "PyTorch is not installed, so its column is missing: install the extra crossent[torch]",
    "end": "Next: crossent train digits",
    # ------------------------------------------------------------------
    "softmax": "Softmax: scores become probabilities",
    "formula.title": "The formula",
    "formula.idea": "Softmax raises e to each score and divides by the sum: p_i = exp(x_i) / sum(exp(x)).",
    "formula.note": "All are positive and they sum to 1; the highest score has the highest probability.",
    "axis.title": "Along which axis?",
    "axis.idea": (
        "The axis is the one whose numbers must sum to 1: the classes. crossent takes the last axis unless told "
        "otherwise; PyTorch wants it named, as dim."
    ),
    "axis.note": "Along the wrong axis nothing fails, but the rows (wrong_sums) no longer sum to 1.",
    # ------------------------------------------------------------------
    "probabilities": "Cross-entropy: how wrong are probabilities?",
    "one_hot.title": "By the formula, against a one-hot target",
    "one_hot.idea": (
        "Multiply the one-hot target by the logarithm of the probabilities, sum, change the sign: loss = "
        "-sum(Y * log(p)). The lower the better."
    ),
    "one_hot.note": "Only the true class's probability counts: -log(0.7) and -log(0.1).",
    "nll.title": "With the class's index",
    "nll.idea": (
        "The one-hot vector only picks one logarithm out, so the index of the true class is enough. "
        "Probabilities go into nll_loss (negative log-likelihood), as logarithms."
    ),
    "nll.note": "The same two losses, without a vector of zeros and without the multiplications.",
    # ------------------------------------------------------------------
    "logits": "Cross-entropy of raw scores (logits)",
    "one_sample.title": "One sample",
    "one_sample.idea": (
        "cross_entropy takes the raw scores of a network and the index of the true class. It has the softmax "
        "inside: put none in front of it."
    ),
    "one_sample.note": (
        "Scores have the shape samples x classes, here 1 x 3; the target has one index for each sample."
    ),
    "two_halves.title": "What is inside",
    "two_halves.idea": "cross_entropy is log_softmax followed by nll_loss; PyTorch's CrossEntropyLoss is the same.",
    "two_halves.note": "One call is better than two: it never forms a probability that could round to 0.",
    "one_prediction.title": "The prediction",
    "one_prediction.idea": "The predicted class is the index of the highest score; softmax is not needed to find it.",
    "one_prediction.note": "The highest score is 2.0 both times, but only the first is at the true class, 0.",
    "torch_max.title": "The prediction with torch.max",
    "torch_max.idea": (
        "torch.max(x, 1) gives both at once: along dimension 1, each row's highest score (values) and where it is "
        "(indices). The pair can be printed as it is, or taken apart."
    ),
    "torch_max.note": "values are scores, not probabilities; indices are the predicted classes.",
    # ------------------------------------------------------------------
    "samples": "Several samples, and how their losses are joined",
    "mean.title": "Three samples: the mean",
    "mean.idea": "With several samples the loss is the mean of the samples' losses, unless told otherwise.",
    "mean.note": "In the bad guess the first two samples point at a wrong class.",
    "predictions.title": "Three predictions",
    "predictions.idea": "The highest score of each row, its index, and the probability that softmax gives it.",
    "predictions.note": "The first guess finds all of 2, 0, 1; the second only the last.",
    "sum.title": 'reduction="sum"',
    "sum.idea": "The losses are added and not divided by their number.",
    "sum.note": "Three times the mean.",
    "none.title": 'reduction="none"',
    "none.idea": "One loss for each sample: see which sample is the expensive one.",
    "none.note": "The sample that both guesses get right costs the same in both: 0.1044.",
    # ------------------------------------------------------------------
    "networks": "Two networks that end in logits",
    "multiclass.title": "Several classes",
    "multiclass.idea": (
        "Linear, ReLU, linear, and no softmax at the end: the loss has it. Four images of 28 x 28 go "
        "forward, and the gradient comes back; NumPy does by hand what PyTorch's autograd does."
    ),
    "multiclass.note": (
        "Each row's gradient at the logits is p - q, so b2_grad sums to 0: what one class gains the others lose."
    ),
    "sigmoid.title": "Two classes: sigmoid and BCELoss",
    "sigmoid.idea": (
        "For two classes one output will do: the sigmoid makes it the probability p of class 1, and BCELoss is the "
        "cross-entropy of (p, 1 - p): -(y * log(p) + (1 - y) * log(1 - p)), averaged."
    ),
    "sigmoid.note": "This is how it is usually written, and it is right as long as p does not round to 0 or 1.",
    "binary.title": "Two classes, one logit",
    "binary.idea": (
        "The same loss from the logit itself: the sigmoid is the softmax of (logit, 0), and BCEWithLogitsLoss has it "
        "inside. The network gives the logit to the loss, and the probability to whoever asks."
    ),
    "binary.note": "Train on the logit with BCEWithLogitsLoss; the last chapter shows what sigmoid and BCELoss lose.",
    # ------------------------------------------------------------------
    "training": "Training: the loss falls",
    "learn.title": "Several classes: the handwritten digits 0, 1 and 2",
    "learn.idea": (
        "Forward, loss, backward, and a step of the optimizer against the gradient, thirty times over ninety real "
        "images of 8 x 8 points."
    ),
    "learn.note": "The loss falls from epoch to epoch; of ninety images nearly all are now recognized.",
    "learn_binary.title": "Two classes: is it a 1?",
    "learn_binary.idea": (
        "The same loop with one logit and BCEWithLogitsLoss. A logit above 0 is a probability above one half: class 1."
    ),
    "learn_binary.note": "No sigmoid is needed to train, nor to decide.",
    # ------------------------------------------------------------------
    "pitfalls": "Pitfalls",
    "floor.title": "Softmax before cross-entropy: the loss has a floor",
    "floor.idea": (
        "A second softmax squeezes all scores into 0 ... 1. However sure and right the network is, its loss "
        "cannot fall below log(e + C - 1) - 1."
    ),
    "floor.note": "Nothing fails, training just stops improving: give cross_entropy the raw scores.",
    "vanishing.title": "Softmax before cross-entropy: the gradient vanishes",
    "vanishing.idea": (
        "A network that is sure and wrong (its score is 10 ahead at the wrong class) should be corrected most of all."
    ),
    "vanishing.note": (
        "With a second softmax the correction is more than ten thousand times too small. (The columns differ "
        "in the last digit because PyTorch computes in float32 unless told otherwise.)"
    ),
    "log_zero.title": "The logarithm of 0",
    "log_zero.idea": (
        "A probability can round to 0, and log(0) is -inf: the loss is infinite. A perfect guess is no "
        "better by the formula: 0 * log(0) is not a number."
    ),
    "log_zero.note": (
        "From the scores the loss is simply 1000, the distance between them; an index multiplies nothing by 0."
    ),
    "overflow.title": "The plain formula overflows",
    "overflow.idea": "exp(x) has no room above x = 709.8 in float64 and 88.7 in float32: inf / inf is not a number.",
    "overflow.note": "Softmax does not change when all scores are shifted, so crossent subtracts the highest first.",
    "index.title": "Index or one-hot?",
    "index.idea": (
        "The same loss. The index takes one whole number a sample; the one-hot target takes a number for every class."
    ),
    "index.note": (
        "The last row is three samples with 1000 classes. One-hot shows its worth with soft targets: [0.9 0.1 0.0]."
    ),
    "saturation.title": "Sigmoid, then BCELoss",
    "saturation.idea": (
        "At logit 20 the sigmoid rounds to 1 in float32. With target 0 that is log(0), which BCELoss cuts at "
        "-100, and the sigmoid is flat there."
    ),
    "saturation.note": (
        "The loss is 100 where it should be 20, and the gradient is 0: the worst sample teaches nothing."
    ),
    "with_logits.title": "BCE with logits",
    "with_logits.idea": (
        "From the logit itself nothing is lost. It is the cross-entropy of the two scores (0, logit)."
    ),
    "with_logits.note": "A loss of 20 and a gradient of 1, as the mathematics has it.",
}
