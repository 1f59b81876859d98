import torch
import torch.nn as nn
import torch.nn.functional as F

from transformers import Trainer, TrainingArguments


def loss_of(outputs, labels, num_items_in_batch=None):
    return F.cross_entropy(outputs.logits, labels)


args = TrainingArguments(output_dir="out", per_device_train_batch_size=8)
trainer = Trainer(model=model, args=args, train_dataset=data, compute_loss_func=loss_of)
