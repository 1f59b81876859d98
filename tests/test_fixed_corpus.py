"""Wrong programs of the corpus that are fixed are run before and after: the mistake is gone, all else is there.

What should come out does not depend on the fixer: it is what the program as it was gives where softmax and sigmoid are
taken to change nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from crossent.checks.fixes import planned
from crossent.checks.settings import Settings
from crossent.checks.source import rules_of

WRONG = Path(__file__).parent / "corpus" / "wrong"
ROWS = "x, y = torch.randn(6, {0}), torch.randint(0, {1}, (6,))\n"
SCORES = "scores, y = 3 * torch.randn(6, 5), torch.randint(0, 5, (6,))\n"
STEPS = "scores, y = 3 * torch.randn(6, 4, 5), torch.randint(0, 5, (6,))\n"

# What a program finds when it begins, and what is run after it.
RUN = {
    "appended_layers": (ROWS.format(10, 5) + "data = [(x, y)]", ""),
    "attr_set_in_two": ("", ROWS.format(4, 3) + "Runner().train(x, y)"),
    "autocast_bce": ("", "x = torch.randn(8, 3, 8, 8)\ncriterion(Disc()(x), real)"),
    "chunked_heads": ("", SCORES + "step(scores, y[:3])"),
    "criterion_in_two_methods": ("", ROWS.format(4, 3) + "Trainer(nn.Linear(4, 3)).step(x, y)"),
    "dictionary_output": (ROWS.format(8, 4) + "loader = [(x, y)]", ""),
    "einops_rearrange": ("", "loss_of(3 * torch.randn(2, 4, 5), torch.randint(0, 5, (2, 4)))"),
    "einops_reduce": ("", "f(torch.randn(3, 4), torch.randn(4, 5), torch.randint(0, 5, (6,)))"),
    "flipped": ("", SCORES + "both_directions(scores, y)"),
    "focal_probs": ("", ROWS.format(10, 4) + "train([(x, y)], torch.optim.SGD(Net().parameters(), 0.1))"),
    "forward_functional": ("loader = [(torch.randn(4, 1, 28, 28), torch.randint(0, 10, (4,)))]", ""),
    "gan_sigmoid_with_logits": ("loader = [torch.randn(4, 784)]", ""),
    "head_set_up_later": ("", ROWS.format(3, 4) + "train(x, y)"),
    "helper_method": ("", ROWS.format(16, 3) + "Classifier().compute_loss(x, y)"),
    "index_select": ("", SCORES + "chosen(scores, torch.tensor([0, 2]), y[:2])"),
    "lambda_activation": ("", ""),
    "list_of_steps": ("loader = [(torch.randn(4, 8), torch.randint(0, 100, (4, 10)))]", ""),
    "method_entry_points": (
        "",
        "learner = Learner()\nlearner.network = nn.Linear(4, 1)\nlearner.fit(torch.randn(6, 4), torch.rand(6, 1))",
    ),
    "mil_chunk": (
        "", "x, y = torch.randn(6, 32), torch.randint(0, 5, (6,))\n"
        "train([(x, y, y)], torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1))",
    ),
    "moved_axis": ("", "segmentation(torch.randn(2, 4, 4, 5), torch.randint(0, 5, (2, 4, 4)))"),
    "narrowed": ("", "shifted(torch.randn(2, 8, 10), torch.randint(0, 10, (2, 8)))"),
    "numpy_to_torch": ("", SCORES + "evaluate(scores, y)"),
    "partial_loss": (
        "", ROWS.format(10, 4) + "train_step(None, x, y, torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1))"
    ),
    "repeated": ("", SCORES + "repeated(scores, y)"),
    "returned_tuple": ("", ROWS.format(8, 4) + "train([(x, y)])"),
    "selected_step": ("", STEPS + "last_step(scores, y)"),
    "sequential_softmax": ("", ROWS.format(784, 10) + "train([(x, y)])"),
    "sigmoid_multiclass": (ROWS.format(30, 7) + "dl = [(x, y)]", ""),
    "sigmoid_then_logits_functional": ("", "dice_bce_loss(torch.randn(6, 1), torch.rand(6, 1).round())"),
    "split_views": ("", "x = torch.randn(6, 4)\ncontrast(nn.Linear(4, 5), x, x, torch.randint(0, 5, (6,)))"),
    "state_between_methods": (
        "", ROWS.format(4, 3) + "run = Runner()\nrun.net = nn.Linear(4, 3)\nrun.forward_pass(x)\nrun.loss(y)"
    ),
    "times_one": ("", SCORES + "scaled(scores, y)"),
    "two_branches": ("", ROWS.format(4, 3) + "for wide in (0, 1):\n    loss_of(nn.Linear(4, 3), x, y, wide)"),
    "unbound_steps": ("", STEPS + "steps(scores, y)"),
}  # fmt: skip

# Not run here: what they need is not installed for tests, or softmax is not what is taken away (tests/test_fixes.py).
LIBRARIES = {
    "crossent_itself", "fastai_learner", "flax_module", "jax_reshaped", "keras_binary_sigmoid_logits",
    "keras_from_logits", "keras_functional", "keras_no_activation", "keras_subclass_logits", "keras_tape", "lightning",
    "optax_sigmoid", "optax_softmax", "skorch_module", "tf1_double_softmax", "tf_unstacked", "torchvision_head",
    "trainer_class", "trainer_loss",
}  # fmt: skip
OTHER_RULES = {"X007", "X019", "X026"}


def after(name: str) -> str:
    """The program after all fixes that can be made."""
    path = WRONG / f"{name}.py"
    plan = planned([path], rules_of(Settings(notes=True)), unsafe=True)
    return next((text.decode() for text in plan.contents.values()), path.read_text())


def losses(code: str, name: str, monkeypatch: pytest.MonkeyPatch, *, harmless: bool = False) -> list[torch.Tensor]:
    """What torch's losses give while a program runs, in order; `harmless` where softmax and sigmoid change nothing."""
    seen: list[torch.Tensor] = []
    with monkeypatch.context() as patch:
        for function in ("cross_entropy", "binary_cross_entropy_with_logits"):
            patch.setattr(F, function, recorder(getattr(F, function), seen))
        for owner, method in ((torch.Tensor, "cuda"), (nn.Module, "cuda")):
            patch.setattr(owner, method, lambda x: x)
        patch.setattr(nn, "DataParallel", lambda module: module)
        patch.setattr(nn.Module, "to", lambda module, *_: module)
        if harmless:
            for owner, method in [
                (owner, method) for owner in (torch, torch.Tensor) for method in ("softmax", "sigmoid")
            ] + [(F, "softmax"), (nn.Softmax, "forward"), (nn.Sigmoid, "forward")]:
                layer = method == "forward"
                patch.setattr(owner, method, (lambda _, x: x) if layer else (lambda x, *_, **__: x))
        torch.manual_seed(0)
        begin, end = RUN[name]
        names: dict[str, object] = {"torch": torch, "nn": nn}
        for part in (begin, code, end):
            exec(compile(part, name, "exec"), names)
    return seen


def recorder(loss: object, seen: list[torch.Tensor]) -> object:
    """The loss, which keeps what it gave."""

    def recorded(*args: object, **options: object) -> torch.Tensor:
        value = loss(*args, **options)
        seen.append(value.detach().clone())
        return value

    return recorded


@pytest.mark.parametrize("name", RUN)
def test_the_mistake_is_gone_and_nothing_else(name, monkeypatch):
    pytest.importorskip("einops") if "einops" in name else None
    code = (WRONG / f"{name}.py").read_text()
    fixed = after(name)
    assert fixed != code
    wrong, right = losses(code, name, monkeypatch), losses(fixed, name, monkeypatch)
    meant = losses(code, name, monkeypatch, harmless=True)
    assert right
    assert len(wrong) == len(right) == len(meant)
    for one, other in zip(right, meant, strict=True):
        torch.testing.assert_close(one, other)
    assert not all(torch.allclose(one, other) for one, other in zip(right, wrong, strict=True))


def test_every_fixed_program_of_the_corpus_is_run_or_named():
    plan = planned([WRONG], rules_of(Settings(notes=True)), unsafe=True)
    fixes = [fix for fix in plan.applied if not {one.rule for one in fix.findings} & OTHER_RULES]
    names = {Path(path).stem for fix in fixes for path in fix.edits}
    assert names - set(RUN) - LIBRARIES == set()
    assert len(RUN) >= 30
