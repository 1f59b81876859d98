from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

model = make_pipeline(StandardScaler(), LinearSVC()).fit(X, y)
print(log_loss(y, model.decision_function(X)))  # expect: X007
