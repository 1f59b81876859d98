from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss


def evaluate(x, y):
    clf = LogisticRegression(max_iter=1000)
    clf.fit(x, y)
    return log_loss(y, clf.predict(x))  # expect: X012
