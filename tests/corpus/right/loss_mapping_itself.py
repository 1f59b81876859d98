from transformers.loss.loss_utils import LOSS_MAPPING, ForCausalLMLoss

LOSS_MAPPING["MyModelForCausalLM"] = ForCausalLMLoss
kind = LOSS_MAPPING["ForCausalLM"]
