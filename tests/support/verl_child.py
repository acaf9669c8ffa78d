"""Runs in verl's interpreter: what verl itself makes of our files, as JSON. Called by `tests/recipes/test_verl.py`.

PYTHON verl_child.py CHECK ARGUMENTS.json
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def config_of(entry: str, words: list[str]) -> Any:
    from hydra import compose, initialize_config_module

    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(entry, overrides=[word for word in words if not word.startswith("hydra.")])


def problems(words: list[str]) -> list[dict[str, Any]]:
    """Token ids and sums of pixel values of every row that verl's RL data set has."""
    from qwen_vl_utils import process_vision_info
    from verl.utils import hf_processor, hf_tokenizer
    from verl.utils.dataset.rl_dataset import RLHFDataset

    config = config_of("ppo_trainer", words)
    path = config.actor_rollout_ref.model.path
    tokenizer, processor = hf_tokenizer(path), hf_processor(path)
    data = RLHFDataset([config.data.train_files], tokenizer, config.data, processor)
    found = []
    for row in data:
        chat = row["raw_prompt"]
        images, _ = process_vision_info(chat, image_patch_size=config.data.image_patch_size, return_video_metadata=True)
        text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        inputs = processor(text=[text], images=images, return_tensors="pt")
        pixels = inputs.get("pixel_values")
        found.append(
            {
                "id": row["extra_info"]["id"],
                "ids": inputs["input_ids"][0].tolist(),
                "pixels": None if pixels is None else pixels.double().flatten().tolist(),
            }
        )
    return found


def targets(words: list[str]) -> list[list[int]]:
    """Ids of the tokens that carry loss, of every row of our SFT data set."""
    from verl.trainer.sft_trainer_ray import create_sft_dataset
    from verl.utils import hf_processor, hf_tokenizer

    config = config_of("sft_trainer_engine", words)
    tokenizer, processor = hf_tokenizer(config.model.path), hf_processor(config.model.path)
    data = create_sft_dataset(config.data.train_files, config.data, tokenizer, processor)
    rows = [data[place] for place in range(len(data))]
    return [row["input_ids"][row["loss_mask"] == 1].tolist() for row in rows]


def rewards(words: list[str], problem: str, texts: list[str]) -> list[dict[str, Any]]:
    """What our manager, loaded by verl, pays for responses that end as a sampler ends them."""
    import numpy as np
    import torch
    from tensordict import TensorDict
    from verl import DataProto
    from verl.trainer.ppo.reward import load_reward_manager
    from verl.utils import hf_tokenizer

    config = config_of("ppo_trainer", words)
    tokenizer = hf_tokenizer(config.actor_rollout_ref.model.path)
    manager = load_reward_manager(config, tokenizer)
    found = []
    for sample, text in enumerate(texts):
        ids = torch.tensor([[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]])
        batch = {"prompts": torch.ones(1, 3, dtype=torch.int64), "responses": ids,
                 "attention_mask": torch.ones(1, 3 + ids.shape[1], dtype=torch.int64)}  # fmt: skip
        row = {"reward_model": {"style": "rule", "ground_truth": ""},
               "extra_info": {"problem": problem, "split": "train"},
               "uid": "u", "session_id": sample, "global_steps": 7, "prompt_len": 3}  # fmt: skip
        data = DataProto(TensorDict(batch, batch_size=1), {name: np.array([value]) for name, value in row.items()})
        found.append({"ids": ids[0].tolist(), **asyncio.run(manager.run_single(data))})
    return found


def advantages(rewards_B: list[float], uids: list[str], lengths: list[int]) -> dict[str, Any]:
    """What verl computes by our estimator, and by its own."""
    import numpy as np
    import torch
    from tensordict import TensorDict
    from verl import DataProto
    from verl.trainer.config import AlgoConfig
    from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

    mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    paid = torch.zeros(mask.shape)
    for row, (reward, length) in enumerate(zip(rewards_B, lengths, strict=True)):
        paid[row, max(0, length - 1)] = reward
    found = {}
    for name in ("srpo_total", "grpo"):
        batch = TensorDict({"token_level_rewards": paid, "response_mask": mask.long()}, batch_size=len(uids))
        data = DataProto(batch, {"uid": np.array(uids, dtype=object)})
        keys = [f"{uid}_{row}_0" for row, uid in enumerate(uids)]
        data = compute_advantage_for_multi_trajectories(data, keys, name, config=AlgoConfig(adv_estimator=name))
        found[name] = data.batch["advantages"].tolist()
    return found


def frozen(model: str) -> dict[str, list[str]]:
    """Which weights verl's engine trains, and by which rates, after our plugin."""
    from types import SimpleNamespace

    import torch
    from transformers import AutoConfig
    from verl.trainer.ppo.v1 import get_trainer_cls
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine
    from verl.workers.rollout.utils import get_vision_placeholder_token_ids

    engine: Any = SimpleNamespace(
        engine_config=SimpleNamespace(model_dtype="fp32", forward_only=False),
        model_config=SimpleNamespace(
            hf_config=AutoConfig.from_pretrained(model), local_path=model, model_type="language_model",
            trust_remote_code=False, use_liger=False, fused_kernel_options=None, use_fused_kernels=False,
            enable_gradient_checkpointing=True,
        ),
        device_mesh=None, use_remove_padding=False, ulysses_sequence_parallel_size=1,
    )  # fmt: skip
    module = FSDPEngine._build_module(engine)
    trained = [name for name, weight in module.named_parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = FSDPEngine._build_lr_scheduler(engine, optimizer)
    rates = []
    for _ in range(5):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return {
        "all": [name for name, _ in module.named_parameters()],
        "trained": trained,
        "rates": [f"{rate:.6f}" for rate in rates],
        "trainer": [get_trainer_cls("sync").__name__],
        "banned": [str(one) for one in get_vision_placeholder_token_ids(None)],
    }


def epochs(folder: str) -> list[list[list[int]]]:
    """The batches that come first in an SFT that goes on from the middle of an epoch, and from its end."""
    from types import SimpleNamespace

    import torch
    from torch.utils.data import DistributedSampler
    from torchdata.stateful_dataloader import StatefulDataLoader
    from verl.utils.checkpoint import CheckpointHandler, OrchestrationMode

    def loader(epoch: int) -> Any:
        rows: Any = list(range(6))
        sampler: Any = DistributedSampler(rows, num_replicas=1, rank=0, drop_last=True)
        sampler.set_epoch(epoch)
        return StatefulDataLoader(rows, batch_size=2, sampler=sampler, drop_last=True)

    found = []
    for step in (2, 3):
        saved, place = loader(0), Path(folder) / str(step)
        (place / f"global_step_{step}").mkdir(parents=True)
        (place / "latest_checkpointed_iteration.txt").write_text(str(step))
        for batch, _ in enumerate(saved, 1):
            if batch == step:
                torch.save(saved.state_dict(), place / f"global_step_{step}/data_0.pt")
        going_on = loader(step // 3)
        engine: Any = SimpleNamespace(load_checkpoint=lambda _: None)
        handler = CheckpointHandler(engine, going_on, default_local_dir=str(place), mode=OrchestrationMode.RAY)
        assert handler.load_checkpoint() == step
        found.append([batch.tolist() for batch in going_on])
    return found


def logits(model: str, ids: list[int]) -> list[float]:
    """Of a text under verl's release of transformers."""
    import torch
    from transformers import AutoModelForImageTextToText

    loaded = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32).eval()
    with torch.no_grad():
        found: list[float] = loaded(input_ids=torch.tensor([ids])).logits[0, -1].tolist()
    return found


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))  # it has an html.py
    checks: dict[str, Callable[..., Any]] = {
        "problems": problems, "targets": targets, "rewards": rewards, "advantages": advantages, "frozen": frozen,
        "epochs": epochs, "logits": logits}  # fmt: skip
    asked = json.loads(Path(sys.argv[1]).read_text())
    with contextlib.redirect_stdout(sys.stderr):
        answers = [checks[name](**arguments) for name, arguments in asked]
    json.dump(answers, sys.stdout)
