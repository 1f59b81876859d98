import torch.nn as nn
import torch.nn.functional as F

kl = nn.KLDivLoss(reduction="batchmean")


def distill(student_logits, teacher_logits, T):
    return kl(F.softmax(student_logits / T, dim=1), F.softmax(teacher_logits / T, dim=1))  # expect: X029
