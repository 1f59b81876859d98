import keras

model = keras.Sequential()
model.add(keras.layers.Dense(16, activation="relu"))
model.add(keras.layers.Dense(1))
model.add(keras.layers.Activation("sigmoid"))
model.compile("sgd", loss=keras.losses.BinaryCrossentropy(from_logits=True))  # expect: X004
