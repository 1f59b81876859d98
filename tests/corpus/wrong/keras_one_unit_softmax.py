from tensorflow import keras

inputs = keras.Input(shape=(32,))
h = keras.layers.Dense(64, activation="relu")(inputs)
outputs = keras.layers.Dense(1, activation="softmax")(h)  # expect: X011
model = keras.Model(inputs=inputs, outputs=outputs)
model.compile("adam", "binary_crossentropy")
