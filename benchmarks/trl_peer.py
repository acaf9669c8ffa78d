"""TRL's GRPOTrainer as a peer: its own loss and generation, on the tensors that ours gets. Runs in its environment.

The trainer is made as users make it, with the settings that favour it here: no gradient checkpointing unless a row says
so, all rows in one batch, its fused language-model head, fused AdamW.
"""

import tempfile
from collections.abc import Sequence
from typing import Any

import torch


def make_trainer(policy: Any, *, group_size: int, num_rows: int, max_tokens: int, checkpointing: bool = False) -> Any:
    """A trainer around the policy's model."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    settings = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        num_generations=group_size,
        per_device_train_batch_size=num_rows,
        gradient_accumulation_steps=1,
        max_completion_length=max_tokens,
        loss_type="grpo",
        beta=0.0,
        temperature=1.0,
        gradient_checkpointing=checkpointing,
        bf16=False,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        learning_rate=1e-6,
    )
    rows = Dataset.from_list([{"prompt": "a"}] * num_rows)
    trainer = GRPOTrainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=settings,
        train_dataset=rows,
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer


def batch_of(policy: Any, prompts: Sequence[Any], completions: Sequence[Sequence[Sequence[int]]]) -> dict[str, Any]:
    """What `compute_loss` takes: every response with its own prompt and picture."""
    rows = [(prompt, tokens) for prompt, group in zip(prompts, completions, strict=True) for tokens in group]
    prompt_ids, prompt_mask = _left([prompt.input_ids.tolist() for prompt, _ in rows], policy.pad_id)
    completion_ids, completion_mask = _right([list(tokens) for _, tokens in rows], policy.pad_id)
    ids = torch.cat([prompt_ids, completion_ids], dim=1)
    return {
        "prompt_ids": prompt_ids,
        "prompt_mask": prompt_mask,
        "completion_ids": completion_ids,
        "completion_mask": completion_mask,
        "num_items_in_batch": completion_mask.sum(),
        **pictures_of(policy, [prompt for prompt, _ in rows]),
        "mm_token_type_ids": (ids == policy.image_token_id).int(),
    }


def pictures_of(policy: Any, prompts: Sequence[Any]) -> dict[str, Any]:
    """Pixels and grids, a picture for every row."""
    from srpo.policy.vision import pixel_values

    return {
        "pixel_values": torch.cat([pixel_values(policy, prompt) for prompt in prompts]),
        "image_grid_thw": torch.cat([prompt.image_grid_thw for prompt in prompts]),
        "num_images": [1] * len(prompts),
    }


def rows_of(policy: Any, prompts: Sequence[Any], group_size: int) -> tuple[list[list[int]], dict[str, Any]]:
    """Token ids, and the model's other inputs, of what is handed to `generate`."""
    rows = [prompt for prompt in prompts for _ in range(group_size)]
    ids, _ = _left([prompt.input_ids.tolist() for prompt in rows], policy.pad_id)
    fields = pictures_of(policy, rows)
    del fields["num_images"]
    return [prompt.input_ids.tolist() for prompt in rows], {
        **fields,
        "mm_token_type_ids": (ids == policy.image_token_id).int(),
    }


def generate(trainer: Any, ids: list[list[int]], fields: dict[str, Any], group_size: int) -> list[list[int]]:
    """What the trainer's step samples with when it has no server."""
    completions: list[list[int]] = trainer._generate_single_turn(ids, None, fields, group_size)[0]  # noqa: SLF001
    return completions


class TrlUpdate:
    """Loss, backward, clip and AdamW, as the trainer takes a step."""

    def __init__(self, policy: Any, trainer: Any) -> None:
        self.trainer = trainer
        self.weights = [weight for weight in policy.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=1e-6, weight_decay=0.0, fused=True)

    def gradient(self, batch: dict[str, Any], advantages_B: torch.Tensor) -> float:
        """Loss and backward."""
        loss = self.trainer.compute_loss(self.trainer.model, {**batch, "advantages": advantages_B})
        loss.backward()
        return float(loss.detach())

    def step(self, batch: dict[str, Any], advantages_B: torch.Tensor) -> float:
        """All of it."""
        loss = self.gradient(batch, advantages_B)
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss


def _left(rows: list[list[int]], value: int) -> tuple[torch.Tensor, torch.Tensor]:
    size = max(map(len, rows))
    return (
        torch.tensor([[value] * (size - len(row)) + row for row in rows]),
        torch.tensor([[0] * (size - len(row)) + [1] * len(row) for row in rows]),
    )


def _right(rows: list[list[int]], value: int) -> tuple[torch.Tensor, torch.Tensor]:
    size = max(map(len, rows))
    return (
        torch.tensor([row + [value] * (size - len(row)) for row in rows]),
        torch.tensor([[1] * len(row) + [0] * (size - len(row)) for row in rows]),
    )
