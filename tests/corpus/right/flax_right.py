import jax
import optax
from flax import linen as nn


class MLP(nn.Module):
    train: bool = True

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(10)(x)
        return x if self.train else nn.softmax(x)


def loss_fn(params, x, y):
    out = MLP().apply({"params": params}, x)
    return optax.softmax_cross_entropy(out, jax.nn.one_hot(y, 10)).mean()
