from keras.layers import Dense
from keras.models import Sequential

model = Sequential([Dense(64, activation="relu"), Dense(5, activation="sigmoid")])
model.compile(loss="binary_crossentropy", optimizer="adam")
