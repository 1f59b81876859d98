from torch import nn
from transformers import Trainer


class WeightedTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        probs = outputs.logits.softmax(-1)
        loss = nn.CrossEntropyLoss()(probs.view(-1, 3), labels.view(-1))  # expect: X001
        return (loss, outputs) if return_outputs else loss
