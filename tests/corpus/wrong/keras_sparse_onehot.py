from keras.layers import Dense
from keras.models import Sequential
from keras.utils import to_categorical

y_train = to_categorical(labels, 10)
model = Sequential([Dense(64, activation="relu"), Dense(10, activation="softmax")])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit(x_train, y_train, epochs=5)  # expect: X013
