from tensorflow import keras
from tensorflow.keras import layers

inputs = keras.Input((28, 28))
h = layers.Flatten()(inputs)
h = layers.Dense(128, activation="relu")(h)
outputs = layers.Dense(10, activation="softmax")(h)
model = keras.Model(inputs, outputs)
model.compile(  # expect: X001
    optimizer="adam",
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
