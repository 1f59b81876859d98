import flax.linen as nn
import jax
import optax


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(nn.relu(nn.Dense(128)(x)))


def loss_fn(params, batch):
    logits = MLP().apply({"params": params}, batch["image"])
    return optax.softmax_cross_entropy_with_integer_labels(logits=logits, labels=batch["label"]).mean()


def predict(params, x):
    return jax.nn.softmax(MLP().apply({"params": params}, x))
