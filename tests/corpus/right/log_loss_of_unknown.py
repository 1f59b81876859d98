from sklearn.metrics import log_loss, roc_auc_score


def score(model, x, y):
    return log_loss(y, model.predict(x)), roc_auc_score(y, model.decision_function(x))
