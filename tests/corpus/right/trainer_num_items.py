import torch.nn.functional as F
from transformers import Trainer


class T(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        out = model(**inputs)
        loss = F.cross_entropy(out.logits.flatten(0, 1), inputs["labels"].flatten(), reduction="sum")
        loss = loss / (num_items_in_batch or inputs["labels"].numel())
        return (loss, out) if return_outputs else loss
