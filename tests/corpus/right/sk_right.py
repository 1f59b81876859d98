from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

clf = LogisticRegression().fit(X, y)
p = clf.predict_proba(Xt)
print(accuracy_score(yt, clf.predict(Xt)), log_loss(yt, p), log_loss(yt, p[:, 1]))
