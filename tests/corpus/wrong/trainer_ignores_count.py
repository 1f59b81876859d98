import torch
import torch.nn as nn
import torch.nn.functional as F

from transformers import Trainer, TrainingArguments


def loss_of(outputs, labels, num_items_in_batch=None):
    logits = outputs.logits[..., :-1, :].flatten(0, 1)
    return F.cross_entropy(logits, labels[..., 1:].flatten())


args = TrainingArguments(output_dir="out", gradient_accumulation_steps=8)
trainer = Trainer(model=model, args=args, train_dataset=data, compute_loss_func=loss_of)  # expect: X031
