from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split


def main(X, y):
    X_train, X_test, y_train, y_test = train_test_split(X, y)
    forest = RandomForestClassifier().fit(X_train, y_train)
    y_hat = forest.predict(X_test)
    print("log loss", log_loss(y_test, y_hat))  # expect: X012
