from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

clf = LogisticRegression().fit(X, y)
print(log_loss(y, clf.predict_proba(X)), accuracy_score(y, clf.predict(X)))
