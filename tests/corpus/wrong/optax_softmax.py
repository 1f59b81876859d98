import flax.linen as nn
import jax
import optax


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(128)(x))
        x = nn.Dense(10)(x)
        return nn.softmax(x)


model = MLP()


def loss_fn(params, batch):
    logits = model.apply({"params": params}, batch["image"])
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()  # expect: X001


grads = jax.grad(loss_fn)(params, batch)
