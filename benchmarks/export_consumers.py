"""Load an export with the code of those for whom it was written; each check runs where its consumer is installed.

    python benchmarks/export_consumers.py trl OUT src/srpo/assets/tiny-base

Nothing of srpo is imported here: the consumers' environments do not have it. A check raises AssertionError when what
the consumer makes of an export is not what was put in, and ModuleNotFoundError where the consumer is not installed.
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

DISTRIBUTIONS = {"swift": "ms-swift", "trl-rl": "trl"}
MODULES = {"easyr1": "verl.workers.reward.config", "trl-rl": "trl"}
"""What is imported to see whether a consumer is there, where it is not its name."""
FIVE_BLOCKS = ("<think>", "<answer>", "<reflection>")


def check_llamafactory(out: Path, model: str) -> dict[str, Any]:
    """Its dataset loader, ShareGPT converter, template, tokenisation and multimodal collator."""
    from llamafactory.data import MultiModalDataCollatorForSeq2Seq, get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    model_args, data_args, training_args, _, _ = get_train_args(
        {
            "model_name_or_path": model,
            "dataset": "srpo",
            "dataset_dir": str(out / "llamafactory"),
            "template": "qwen2_vl",
            "stage": "sft",
            "do_train": True,
            "output_dir": str(out.parent / "llamafactory-out"),
            "overwrite_cache": True,
            "cutoff_len": 4096,
            "report_to": "none",
            "use_cpu": True,
        }
    )
    modules = load_tokenizer(model_args)
    tokenizer = modules["tokenizer"]
    template = get_template_and_fix_tokenizer(tokenizer, data_args)
    rows = get_dataset(template, model_args, data_args, training_args, stage="sft", **modules)["train_dataset"]
    _check_targets(tokenizer, [row["labels"] for row in rows])
    collator = MultiModalDataCollatorForSeq2Seq(template=template, tokenizer=tokenizer, processor=modules["processor"])
    batch = collator([dict(row) for row in rows])
    images = [image for row in rows for image in row["images"] or ()]
    assert all(Path(image).is_file() for image in images), "a picture was not found below media_dir"
    assert len(batch["image_grid_thw"]) == len(images), "the collator lost pictures"
    return {"rows": len(rows), "pictures": len(images), "through": "get_dataset and MultiModalDataCollatorForSeq2Seq"}


def check_trl(out: Path, model: str) -> dict[str, Any]:
    """The dataset as SFTTrainer takes it, and one step of SFTTrainer itself with its vision collator."""
    import datasets
    import transformers
    from trl import SFTConfig, SFTTrainer

    rows = datasets.load_dataset("parquet", data_files=str(out / "trl" / "train.parquet"), split="train")
    settings = SFTConfig(
        output_dir=str(out.parent / "trl-out"),
        max_steps=1,
        per_device_train_batch_size=4,
        max_length=None,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    processor = transformers.AutoProcessor.from_pretrained(model)
    network = transformers.AutoModelForImageTextToText.from_pretrained(model)
    trainer = SFTTrainer(network, args=settings, train_dataset=rows, processing_class=processor)
    batch = trainer.data_collator([rows[index] for index in range(len(rows))])
    num_pictures = sum(len(row["images"]) for row in rows)
    assert len(batch["image_grid_thw"]) == num_pictures, "the collator lost pictures"
    _check_targets(processor.tokenizer, batch["labels"].tolist())
    loss = trainer.train().training_loss
    assert loss > 0, "no token carries loss"
    return {"rows": len(rows), "pictures": num_pictures, "through": "SFTTrainer, one step", "loss": round(loss, 3)}


def check_verl(out: Path, model: str) -> dict[str, Any]:
    """Its multi-turn SFT dataset and its RL dataset, every row of both."""
    import transformers
    from omegaconf import OmegaConf
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset
    from verl.utils.dataset.rl_dataset import RLHFDataset

    processor = transformers.AutoProcessor.from_pretrained(model)
    tokenizer = processor.tokenizer
    sft = MultiTurnSFTDataset(
        str(out / "verl" / "sft.parquet"), tokenizer, OmegaConf.create({"max_length": 4096}), processor
    )
    items = [sft[index] for index in range(len(sft))]
    learned = [item["input_ids"][item["loss_mask"] == 1].tolist() for item in items]
    _check_targets(tokenizer, learned)
    settings = {"max_prompt_length": 4096, "filter_overlong_prompts_workers": 1, "cache_dir": str(out.parent / "verl")}
    rl = RLHFDataset(str(out / "verl" / "rl.parquet"), tokenizer, OmegaConf.create(settings), processor)
    problems = [rl[index] for index in range(len(rl))]
    for problem in problems:
        assert problem["reward_model"]["ground_truth"], "no ground truth"
        assert problem["raw_prompt"][0]["role"] == "user", problem["raw_prompt"]
    parts = [part for problem in problems for part in problem["raw_prompt"][0]["content"] if isinstance(part, dict)]
    pictures = sum(part["type"] == "image" for part in parts)
    assert pictures, "no picture reached a prompt"
    through = "MultiTurnSFTDataset and RLHFDataset"
    return {"rows": len(items), "problems": len(problems), "pictures": pictures, "through": through}


def check_datasets(out: Path, _: str) -> dict[str, Any]:
    """The whole folder by name, as from the hub: the card says which file it is."""
    import datasets

    rows = datasets.load_dataset(str(out), split="train")
    pictures = [image for row in rows for image in row["images"]]
    assert all(image.size[0] > 0 for image in pictures), "pictures are not decoded"
    assert all(row["reflection"] and row["second_think"] for row in rows), "blocks are missing"
    return {"rows": len(rows), "pictures": len(pictures), "through": "load_dataset"}


def check_openrlhf(out: Path, model: str) -> dict[str, Any]:
    """Its prompt dataset and its reader of pictures."""
    import datasets
    import transformers
    from openrlhf.datasets.prompts_dataset import PromptDataset
    from openrlhf.utils.vlm_utils import load_images

    file = str(out / "openrlhf" / "train.parquet")
    rows = datasets.load_dataset("parquet", data_files=file, split="train")
    keys = SimpleNamespace(input_key="prompt", label_key="label", image_key="images", apply_chat_template=True)
    strategy = SimpleNamespace(args=SimpleNamespace(data=keys), is_rank_0=lambda: False)
    problems = PromptDataset(rows, transformers.AutoTokenizer.from_pretrained(model), strategy)
    pictures = 0
    for _, prompt, label, images in (problems[index] for index in range(len(problems))):
        found = load_images(images)
        assert len(found) == prompt.count("<|image_pad|>"), f"{len(found)} pictures for {prompt!r}"
        assert json.loads(label)["gold"], label
        pictures += len(found)
    return {"rows": len(problems), "pictures": pictures, "through": "PromptDataset and load_images"}


def check_swift(out: Path, _: str) -> dict[str, Any]:
    """Its loader of data sets, as `swift rlhf` calls it."""
    from swift.dataset import load_dataset

    file = str(out / "ms-swift" / "train.parquet")
    rows, _nothing = load_dataset([file], split_dataset_ratio=0.0, remove_unused_columns=False)
    for row in rows:
        assert json.loads(row["solution"])["gold"], "the reward gets no gold"
        assert len(row["images"]) == row["messages"][0]["content"].count("<image>"), row["messages"]
    return {"rows": len(rows), "pictures": sum(len(row["images"]) for row in rows), "through": "load_dataset"}


def check_easyr1(out: Path, model: str) -> dict[str, Any]:
    """Its RL dataset, every row of it."""
    import transformers
    import verl.workers.reward.config as easyr1  # verl 0.9 has no such module: EasyR1 is another package of its name
    from verl.utils.dataset import RLHFDataset

    assert easyr1.RewardConfig(reward_function_kwargs={}).reward_function is None
    processor = transformers.AutoProcessor.from_pretrained(model)
    rows = RLHFDataset(
        str(out / "easyr1" / "train.parquet"),
        processor.tokenizer,
        processor,
        prompt_key="prompt",
        max_prompt_length=4096,
        filter_overlong_prompts_workers=1,
    )
    pictures = 0
    for row in (rows[index] for index in range(len(rows))):
        assert json.loads(row["ground_truth"])["gold"], "the reward gets no gold"
        text = processor.tokenizer.decode(row["raw_prompt_ids"])
        found = len(row["multi_modal_data"]["images"])
        assert found == text.count("<|image_pad|>"), f"{found} pictures for {text!r}"
        pictures += found
    return {"rows": len(rows), "pictures": pictures, "through": "RLHFDataset"}


def check_trl_rl(out: Path, model: str) -> dict[str, Any]:
    """The problems as GRPOTrainer takes them, and one step of it; every column reaches the reward."""
    import datasets
    import transformers
    from trl import GRPOConfig, GRPOTrainer

    rows = datasets.load_dataset("parquet", data_files=str(out / "trl-rl" / "train.parquet"), split="train")
    seen: dict[str, int] = {}

    def reward(completions: Any, gold: Any, choices: Any, **_: Any) -> list[float]:
        seen.update(zip(map(str, gold), map(len, choices), strict=True))
        return [float(len(one[-1]["content"]) % 7) for one in completions]

    settings = GRPOConfig(
        output_dir=str(out.parent / "trl-rl-out"),
        max_steps=1,
        per_device_train_batch_size=2,
        num_generations=2,
        max_completion_length=8,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    processor = transformers.AutoProcessor.from_pretrained(model)
    network = transformers.AutoModelForImageTextToText.from_pretrained(model)
    GRPOTrainer(network, reward_funcs=reward, args=settings, train_dataset=rows, processing_class=processor).train()
    assert "7" in seen, "the reward got no gold"
    pictures = sum(len(row["images"]) for row in rows)
    return {"rows": len(rows), "pictures": pictures, "through": "GRPOTrainer, one step"}


CHECKS: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "llamafactory": check_llamafactory,
    "trl": check_trl,
    "verl": check_verl,
    "datasets": check_datasets,
    "openrlhf": check_openrlhf,
    "swift": check_swift,
    "easyr1": check_easyr1,
    "trl-rl": check_trl_rl,
}


def version_of(consumer: str) -> str:
    """Of the release, or what a checkout says of itself."""
    if consumer == "easyr1":
        import verl

        return f"{verl.__version__}, checkout"
    return version(DISTRIBUTIONS.get(consumer, consumer))


def _check_targets(tokenizer: Any, labels: list[list[int]]) -> None:
    """What carries loss must be the five blocks, whole."""
    for tokens in labels:
        text = tokenizer.decode([token for token in tokens if token >= 0])
        for block in FIVE_BLOCKS:
            assert text.count(block) == (1 if block == "<reflection>" else 2), f"{block} in {text!r}"
        assert "[image]" not in text, f"the prompt carries loss: {text!r}"


if __name__ == "__main__":
    report = CHECKS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
    print(json.dumps({"version": version_of(sys.argv[1]), **report}))
