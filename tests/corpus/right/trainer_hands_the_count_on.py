import torch
import torch.nn as nn
import torch.nn.functional as F

from transformers import Trainer, TrainingArguments

from my_losses import causal_loss


def loss_of(outputs, labels, **kwargs):
    return causal_loss(outputs.logits, labels, **kwargs)


args = TrainingArguments(output_dir="out", gradient_accumulation_steps=8)
trainer = Trainer(model=model, args=args, train_dataset=data, compute_loss_func=loss_of)
