"""The names of the libraries: which function is a softmax, which a loss, and where a loss takes scores and targets."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

__all__ = ["BOUNDED", "FUNCTIONS", "LOSSES", "LOSS_LAYERS", "Loss", "canonical"]


class Loss(NamedTuple):
    """A loss: what it takes ("logits", "log_probabilities", "probabilities"), over classes or binary, and where."""

    takes: str
    binary: bool
    input: tuple[int, tuple[str, ...]] = (0, ("input",))
    target: tuple[int, tuple[str, ...]] = (1, ("target",))
    framework: str = "torch"
    sparse: bool | None = None


PREFIXES = (
    ("tensorflow.compat.v1.", "tensorflow."),
    ("tensorflow.compat.v2.", "tensorflow."),
    ("tensorflow.python.keras.", "keras."),
    ("tensorflow.keras.", "keras."),
    ("tensorflow.contrib.keras.", "keras."),
    ("tf_keras.", "keras."),
    ("keras.src.", "keras."),
    ("tensorflow.losses.", "keras.losses."),
    ("tensorflow.metrics.", "keras.metrics."),
    ("tensorflow.math.", "tensorflow."),
    ("torch.nn.modules.loss.", "torch.nn."),
    ("torch.nn.modules.activation.", "torch.nn."),
    ("torch.nn.modules.", "torch.nn."),
    ("torch.special.", "torch."),
    ("crossent.nn.", "torch.nn."),
    ("autograd.numpy.", "numpy."),
    ("cupy.", "numpy."),
    ("flax.linen.", "linen."),
    ("flax.nnx.", "linen."),
    ("keras.layers.core.", "keras.layers."),
)


@cache
def canonical(name: str) -> str:
    """One name for each object, wherever it was imported from."""
    for prefix, short in PREFIXES:
        if name.startswith(prefix):
            return canonical(short + name[len(prefix) :])
    return name


def _named(what: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, what)


# What a function of a library does to the tensor that is its first argument.
FUNCTIONS = {
    **_named("softmax", "torch.softmax", "torch.nn.functional.softmax", "crossent.softmax", "tensorflow.nn.softmax"),
    **_named(
        "softmax", "tensorflow.softmax", "keras.activations.softmax", "keras.ops.softmax", "keras.backend.softmax"
    ),
    **_named("softmax", "jax.nn.softmax", "linen.softmax", "linen.activation.softmax", "scipy.special.softmax"),
    **_named("sigmoid", "torch.sigmoid", "torch.nn.functional.sigmoid", "torch.expit", "tensorflow.nn.sigmoid"),
    **_named(
        "sigmoid", "tensorflow.sigmoid", "keras.activations.sigmoid", "keras.ops.sigmoid", "keras.backend.sigmoid"
    ),
    **_named("sigmoid", "jax.nn.sigmoid", "linen.sigmoid", "linen.activation.sigmoid", "scipy.special.expit"),
    **_named("sigmoid", "jax.scipy.special.expit"),
    **_named("log_softmax", "torch.log_softmax", "torch.nn.functional.log_softmax", "crossent.log_softmax"),
    **_named("log_softmax", "tensorflow.nn.log_softmax", "tensorflow.log_softmax", "keras.ops.log_softmax"),
    **_named("log_softmax", "jax.nn.log_softmax", "linen.log_softmax", "scipy.special.log_softmax"),
    **_named("log_sigmoid", "torch.nn.functional.logsigmoid", "tensorflow.log_sigmoid", "jax.nn.log_sigmoid"),
    **_named("log_sigmoid", "linen.log_sigmoid", "keras.ops.log_sigmoid"),
    **_named("exp", "torch.exp", "numpy.exp", "jax.numpy.exp", "tensorflow.exp", "keras.ops.exp"),
    **_named("log", "torch.log", "numpy.log", "jax.numpy.log", "tensorflow.log", "keras.ops.log", "keras.backend.log"),
    **_named("log", "torch.log2", "numpy.log2", "numpy.log10", "jax.numpy.log2", "torch.log10"),
    **_named("sum", "torch.sum", "numpy.sum", "jax.numpy.sum", "tensorflow.reduce_sum", "keras.ops.sum"),
    **_named("sum", "keras.backend.sum", "builtins.sum"),
    **_named(
        "maximum", "numpy.max", "numpy.amax", "jax.numpy.max", "jax.numpy.amax", "tensorflow.reduce_max", "torch.amax"
    ),
    **_named("maximum", "keras.ops.max", "keras.backend.max", "builtins.max", "numpy.nanmax", "numpy.maximum.reduce"),
    **_named(
        "maximum", "torch.logsumexp", "jax.nn.logsumexp", "scipy.special.logsumexp", "tensorflow.reduce_logsumexp"
    ),
    **_named("maximum", "jax.scipy.special.logsumexp"),
    **_named("max", "torch.max", "torch.topk", "torch.mode", "torch.sort"),
    **_named("argmax", "torch.argmax", "numpy.argmax", "jax.numpy.argmax", "tensorflow.argmax", "tensorflow.arg_max"),
    **_named("argmax", "keras.ops.argmax", "keras.backend.argmax"),
    **_named(
        "round", "torch.round", "numpy.round", "numpy.around", "jax.numpy.round", "tensorflow.round", "numpy.rint"
    ),
    **_named("round", "keras.ops.round", "keras.backend.round"),
    **_named("clip", "torch.clamp", "torch.clip", "numpy.clip", "jax.numpy.clip", "tensorflow.clip_by_value"),
    **_named("clip", "keras.ops.clip", "keras.backend.clip", "numpy.maximum", "numpy.minimum", "jax.numpy.maximum"),
    **_named("clip", "torch.maximum", "tensorflow.maximum", "torch.clamp_min", "numpy.nan_to_num"),
    **_named("same", "torch.autograd.Variable", "torch.squeeze", "numpy.squeeze", "tensorflow.identity"),
    **_named("same", "torch.clone", "tensorflow.convert_to_tensor", "jax.lax.stop_gradient", "tensorflow.cast"),
    **_named("reshape", "torch.flatten", "torch.reshape", "torch.transpose", "torch.permute", "torch.unsqueeze"),
    **_named("reshape", "numpy.reshape", "jax.numpy.reshape", "tensorflow.reshape", "tensorflow.squeeze"),
    **_named("reshape", "numpy.transpose", "tensorflow.transpose", "jax.numpy.squeeze", "tensorflow.expand_dims"),
    **_named("reshape", "numpy.expand_dims", "torch.movedim", "torch.swapaxes"),
    **_named(
        "stack", "torch.stack", "torch.cat", "torch.concat", "tensorflow.stack", "tensorflow.concat", "torch.vstack"
    ),
    **_named("stack", "numpy.stack", "numpy.concatenate", "jax.numpy.stack", "jax.numpy.concatenate", "numpy.vstack"),
    **_named(
        "gather", "torch.gather", "tensorflow.gather", "jax.numpy.take_along_axis", "torch.diagonal", "torch.diag"
    ),
}

# Functions and methods whose result lies between bounds, whatever they are given.
BETWEEN = """
tanh tanh_ sin cos erf atan arctan sign softsign hardtanh hardsigmoid hard_sigmoid hard_tanh relu6 normalize
cosine_similarity l2_normalize clip clamp clip_by_value hardtanh_ sinc
"""
BOUNDED = frozenset(BETWEEN.split())

_CLASSES = "logits", False
_BINARY = "logits", True
_TF = ("labels", "onehot_labels", "_sentinel")
_Y = (0, ("y_true", "target"))
_P = (1, ("y_pred", "output"))
_L = (1, ("logits",))

# Losses that are functions.
LOSSES = {
    "torch.nn.functional.cross_entropy": Loss(*_CLASSES),
    "torch.nn.functional.nll_loss": Loss("log_probabilities", False),
    "torch.nn.functional.nll_loss2d": Loss("log_probabilities", False),
    "torch.nn.functional.binary_cross_entropy": Loss("probabilities", True),
    "torch.nn.functional.binary_cross_entropy_with_logits": Loss(*_BINARY),
    "torch.nn.functional.kl_div": Loss("log_probabilities", True),
    "crossent.cross_entropy": Loss(*_CLASSES, framework="crossent"),
    "crossent.cross_entropy_with_grad": Loss(*_CLASSES, framework="crossent"),
    "crossent.distributed.vocab_parallel_cross_entropy": Loss(*_CLASSES, framework="crossent"),
    "crossent.row_stats": Loss(*_CLASSES, framework="crossent"),
    "crossent.nll_loss": Loss("log_probabilities", False, (0, ("log_probs",)), framework="crossent"),
    "crossent.binary_cross_entropy": Loss("probabilities", True, (0, ("probs",)), framework="crossent"),
    "crossent.binary_cross_entropy_with_logits": Loss(*_BINARY, framework="crossent"),
    "optax.softmax_cross_entropy": Loss(*_CLASSES, (0, ("logits",)), (1, ("labels",)), "jax"),
    "optax.safe_softmax_cross_entropy": Loss(*_CLASSES, (0, ("logits",)), (1, ("labels",)), "jax"),
    "optax.softmax_cross_entropy_with_integer_labels": Loss(*_CLASSES, (0, ("logits",)), (1, ("labels",)), "jax"),
    "optax.sigmoid_binary_cross_entropy": Loss(*_BINARY, (0, ("logits",)), (1, ("labels",)), "jax"),
    "optax.losses.softmax_cross_entropy": Loss(*_CLASSES, (0, ("logits",)), (1, ("labels",)), "jax"),
    "optax.losses.softmax_cross_entropy_with_integer_labels": Loss(
        *_CLASSES, (0, ("logits",)), (1, ("labels",)), "jax"
    ),
    "optax.losses.sigmoid_binary_cross_entropy": Loss(*_BINARY, (0, ("logits",)), (1, ("labels",)), "jax"),
    "tensorflow.nn.softmax_cross_entropy_with_logits": Loss(*_CLASSES, (1, ("logits",)), (0, _TF), "tf"),
    "tensorflow.nn.softmax_cross_entropy_with_logits_v2": Loss(*_CLASSES, (1, ("logits",)), (0, _TF), "tf"),
    "tensorflow.nn.sparse_softmax_cross_entropy_with_logits": Loss(*_CLASSES, (1, ("logits",)), (0, _TF), "tf"),
    "tensorflow.nn.sigmoid_cross_entropy_with_logits": Loss(*_BINARY, (1, ("logits",)), (0, _TF), "tf"),
    "tensorflow.nn.weighted_cross_entropy_with_logits": Loss(*_BINARY, (1, ("logits",)), (0, _TF), "tf"),
    "keras.losses.softmax_cross_entropy": Loss(*_CLASSES, _L, (0, _TF), "tf"),
    "keras.losses.sparse_softmax_cross_entropy": Loss(*_CLASSES, _L, (0, _TF), "tf"),
    "keras.losses.sigmoid_cross_entropy": Loss(*_BINARY, _L, (0, _TF), "tf"),
    "keras.losses.categorical_crossentropy": Loss("from_logits", False, _P, _Y, "keras", False),
    "keras.losses.sparse_categorical_crossentropy": Loss("from_logits", False, _P, _Y, "keras", True),
    "keras.losses.binary_crossentropy": Loss("from_logits", True, _P, _Y, "keras"),
    "sklearn.metrics.log_loss": Loss("probabilities", False, (1, ("y_pred", "y_proba")), (0, ("y_true",)), "sklearn"),
    "keras.backend.categorical_crossentropy": Loss("from_logits", False, _P, _Y, "keras", False),
    "keras.backend.sparse_categorical_crossentropy": Loss("from_logits", False, _P, _Y, "keras", True),
    "keras.backend.binary_crossentropy": Loss("from_logits", True, _P, _Y, "keras"),
}

# Losses that are objects: made first, called later.
LOSS_LAYERS = {
    "torch.nn.CrossEntropyLoss": Loss(*_CLASSES),
    "torch.nn.NLLLoss": Loss("log_probabilities", False),
    "torch.nn.NLLLoss2d": Loss("log_probabilities", False),
    "torch.nn.BCELoss": Loss("probabilities", True),
    "torch.nn.BCEWithLogitsLoss": Loss(*_BINARY),
    "torch.nn.KLDivLoss": Loss("log_probabilities", True),
    "timm.loss.LabelSmoothingCrossEntropy": Loss(*_CLASSES),
    "timm.loss.SoftTargetCrossEntropy": Loss(*_CLASSES),
    "fastai.losses.CrossEntropyLossFlat": Loss(*_CLASSES),
    "fastai.vision.all.CrossEntropyLossFlat": Loss(*_CLASSES),
    "keras.losses.CategoricalCrossentropy": Loss("from_logits", False, _P, _Y, "keras", False),
    "keras.losses.SparseCategoricalCrossentropy": Loss("from_logits", False, _P, _Y, "keras", True),
    "keras.losses.BinaryCrossentropy": Loss("from_logits", True, _P, _Y, "keras"),
}
