import torch
import torch.nn as nn
import torch.nn.functional as F

from transformers import Trainer, TrainingArguments


def loss_of(outputs, labels, num_items_in_batch=None):
    total = F.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return total / num_items_in_batch


args = TrainingArguments(output_dir="out", gradient_accumulation_steps=8)
trainer = Trainer(model=model, args=args, train_dataset=data, compute_loss_func=loss_of)
