from tensorflow import keras

inputs = keras.Input((784,))
x = keras.layers.Dense(10)(inputs)
outputs = keras.layers.Activation("softmax", dtype="float32")(x)
model = keras.Model(inputs, outputs)
model.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
