"""How exact: what no number may be further from the exact one by, in units of the last place (ulp) of the dtype.

BOUNDS[room][dtype][function] = (value, gradient, value in the tails, gradient in the tails)

The unit is that of the exact number; where terms of both signs make it (a gradient w·p − q with soft targets, one along
a cotangent, logsumexp, lse²), of the larger terms. The tails are numbers below the dtype's epsilon. test_exact.py
searches for worse ones; docs/exactness.md shows this table beside what others reach.

definition  wherever it runs in a library with float64: NumPy and PyTorch without kernels, under vmap, grad, jvp and
            compile, for second derivatives, masks and soft targets that are differentiated; float32 in float64
cpu         the C++ kernels, for every kind of processor: NumPy arrays and eager PyTorch tensors on the CPU
jax         float32 without float64: the remainder of z − m is carried, exp and log1p are XLA's
triton      float32 in the registers
"""

NAMES = (
    "softmax",
    "log_softmax",
    "logsumexp",
    "entropy",
    "confidence",
    "cross_entropy",
    "cross_entropy, soft targets",
    "cross_entropy, smoothing and class weights",
    "cross_entropy, temperature",
    "cross_entropy, soft-cap",
    "cross_entropy, z-loss",
    "binary_cross_entropy_with_logits",
    "the same, smoothing and pos_weight",
)
BOUNDS: dict[str, dict[str, dict[str, tuple[float, float, float, float]]]] = {
    "definition": {
        "float32": {
            "softmax": (1, 2, 1, 2),
            "log_softmax": (1, 2, 1, 2),
            "logsumexp": (1, 1, 1, 1),
            "entropy": (1, 3, 1, 3),
            "confidence": (1, 1, 1, 1),
            "cross_entropy": (1, 1, 1, 1),
            "cross_entropy, soft targets": (1, 1, 1, 1),
            "cross_entropy, smoothing and class weights": (1, 1, 1, 1),
            "cross_entropy, temperature": (1, 1, 1, 1),
            "cross_entropy, soft-cap": (1, 1, 1, 1),
            "cross_entropy, z-loss": (2, 2, 2, 2),
            "binary_cross_entropy_with_logits": (1, 1, 1, 1),
            "the same, smoothing and pos_weight": (1, 1, 1, 1),
        },
        "float64": {
            "softmax": (3, 4, 4, 8),
            "log_softmax": (3, 4, 4, 8),
            "logsumexp": (2, 4, 4, 8),
            "entropy": (3, 5, 4, 8),
            "confidence": (3, 5, 4, 8),
            "cross_entropy": (2, 4, 4, 8),
            "cross_entropy, soft targets": (4, 4, 4, 8),
            "cross_entropy, smoothing and class weights": (4, 5, 4, 8),
            "cross_entropy, temperature": (8, 40, 40, 400),
            "cross_entropy, soft-cap": (20, 60, 400, 400),
            "cross_entropy, z-loss": (4, 4, 4, 8),
            "binary_cross_entropy_with_logits": (3, 4, 4, 8),
            "the same, smoothing and pos_weight": (4, 5, 4, 8),
        },
    },
    "cpu": {
        "float32": {
            "softmax": (2, 4, 4, 8),
            "log_softmax": (2, 4, 4, 8),
            "logsumexp": (2, 4, 4, 8),
            "entropy": (2, 4, 4, 8),
            "confidence": (2, 4, 4, 8),
            "cross_entropy": (2, 4, 4, 8),
            "cross_entropy, soft targets": (2, 4, 4, 8),
            "cross_entropy, smoothing and class weights": (2, 4, 4, 8),
            "cross_entropy, temperature": (2, 4, 4, 8),
            "cross_entropy, soft-cap": (2, 4, 4, 8),
            "cross_entropy, z-loss": (2, 4, 4, 8),
            "binary_cross_entropy_with_logits": (2, 4, 4, 8),
            "the same, smoothing and pos_weight": (3, 4, 4, 8),
        },
        "float64": {
            "softmax": (2, 4, 4, 8),
            "log_softmax": (2, 4, 4, 8),
            "logsumexp": (2, 4, 4, 8),
            "entropy": (2, 4, 4, 8),
            "confidence": (2, 4, 4, 8),
            "cross_entropy": (2, 4, 4, 8),
            "cross_entropy, soft targets": (2, 4, 4, 8),
            "cross_entropy, smoothing and class weights": (2, 4, 4, 8),
            "cross_entropy, temperature": (2, 4, 4, 8),
            "cross_entropy, soft-cap": (2, 4, 4, 8),
            "cross_entropy, z-loss": (2, 4, 4, 8),
            "binary_cross_entropy_with_logits": (2, 4, 4, 8),
            "the same, smoothing and pos_weight": (2, 4, 4, 8),
        },
        "bfloat16": dict.fromkeys(NAMES, (0.51, 0.51, 0.51, 0.51)),
        "float16": dict.fromkeys(NAMES, (0.51, 0.51, 0.51, 0.51)),
    },
    "jax": {
        "float32": {
            "softmax": (4, 6, 4, 8),
            "log_softmax": (4, 4, 4, 8),
            "logsumexp": (3, 4, 4, 8),
            "entropy": (5, 8, 5, 8),
            "confidence": (4, 6, 4, 8),
            "cross_entropy": (4, 4, 4, 8),
            "cross_entropy, soft targets": (4, 6, 4, 8),
            "cross_entropy, smoothing and class weights": (5, 6, 4, 8),
            "cross_entropy, temperature": (12, 20, 60, 200),
            "cross_entropy, soft-cap": (30, 60, 100, 200),
            "cross_entropy, z-loss": (5, 6, 4, 8),
            "binary_cross_entropy_with_logits": (4, 4, 4, 8),
            "the same, smoothing and pos_weight": (5, 5, 4, 8),
        },
    },
    "triton": {
        "float32": {
            "cross_entropy": (4, 5, 4, 8),
            "cross_entropy, soft targets": (4, 6, 4, 8),
            "cross_entropy, smoothing and class weights": (5, 6, 4, 8),
            "cross_entropy, temperature": (12, 20, 60, 200),
            "cross_entropy, soft-cap": (20, 40, 100, 200),
            "cross_entropy, z-loss": (4, 5, 4, 8),
            "binary_cross_entropy_with_logits": (5, 5, 4, 8),
            "the same, smoothing and pos_weight": (6, 5, 4, 8),
        },
    },
}
