"""GRPO with the reward of SRPO in TRL's own trainer; every term is a curve. `pip install srpo trl` is its environment.

srpo export RUN --format trl-rl --out DATA
python examples/trl_srpo.py DATA/trl-rl/train.parquet /models/Qwen2.5-VL-3B-Instruct --max_steps 500
torchrun --nproc_per_node 2 examples/trl_srpo.py ...
"""

from argparse import ArgumentParser

from datasets import load_dataset
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import GRPOConfig, GRPOTrainer

from srpo.engines.trl import trl_reward

parser = ArgumentParser()
parser.add_argument("data")
parser.add_argument("model")
parser.add_argument("--out", default="runs/trl")
parser.add_argument("--preset", default="paper")
parser.add_argument("--style", default="reflective")
parser.add_argument("--max_steps", type=int, default=500)
parser.add_argument("--max_tokens", type=int, default=1024)
parser.add_argument("--num_samples", type=int, default=8)
parser.add_argument("--use_cpu", action="store_true")
given = parser.parse_args()

processor = AutoProcessor.from_pretrained(given.model)
trainer = GRPOTrainer(
    AutoModelForImageTextToText.from_pretrained(given.model, dtype="float32"),
    reward_funcs=trl_reward(given.preset, tokenizer=processor.tokenizer, style=given.style),
    args=GRPOConfig(
        output_dir=given.out,
        max_steps=given.max_steps,
        per_device_train_batch_size=given.num_samples,
        num_generations=given.num_samples,
        max_completion_length=given.max_tokens,
        learning_rate=1e-6,
        logging_steps=1,
        use_cpu=given.use_cpu,
        bf16=not given.use_cpu,
        report_to="none",
    ),
    train_dataset=load_dataset("parquet", data_files=given.data, split="train"),
    processing_class=processor,
)
trainer.train()
trainer.save_state()
if trainer.accelerator.is_main_process:
    print(f"{trainer.accelerator.num_processes} processes")
