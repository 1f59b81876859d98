from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pipe = make_pipeline(StandardScaler(), LogisticRegression())
pipe.fit(X, y)
scores = pipe.decision_function(X_test)
print(metrics.log_loss(y_test, scores))  # expect: X007
