import jax
import optax
from flax import linen as nn


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(64)(x))
        x = nn.Dense(10)(x)
        return nn.softmax(x)


model = MLP()


def loss_fn(params, x, y):
    out = model.apply({"params": params}, x)
    return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()  # expect: X001


grad = jax.grad(loss_fn)
