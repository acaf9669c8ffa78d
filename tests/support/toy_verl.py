"""A program that stands for verl: takes its words, reads its data, leaves behind what verl leaves, and trains nothing.

What it needs of srpo it finds as verl's processes do: in the copy on PYTHONPATH. Variables steer it: TOY_STEP_S,
seconds of a step; TOY_TEXT, what every response says in place of right and wrong ones; TOY_FAILS_AT, where it dies.
"""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from srpo.core.records import Problem, Trace
from srpo.engines.payer import Payer
from srpo.engines.verl.journal import PaidTrace, RewardJournal

FIVE = (
    "<think>a</think><answer>{first}</answer><reflection>look again here</reflection><think>b</think>"
    "<answer>{final}</answer>"
)


def main(words: list[str]) -> None:
    trainers = {"verl.trainer.main_ppo": train, "verl.trainer.sft_trainer_ray": fine_tune}
    settings = {name.lstrip("+"): value.strip("'") for name, _, value in (word.partition("=") for word in words[2:])}
    trainers[words[1]](settings)


def fine_tune(settings: dict[str, str]) -> None:
    """What verl's SFT leaves behind: it logs a step before it saves it."""
    batch, rows = int(settings["data.train_batch_size"]), pq.read_table(settings["data.train_files"]).to_pylist()
    assert all(row["messages"][-1]["role"] == "assistant" and row["skipped_tokens"] >= 0 for row in rows)
    assert settings["trainer.total_epochs"] == str(
        -(-int(settings["trainer.total_training_steps"]) // (len(rows) // batch))
    )
    with Path(os.environ["VERL_FILE_LOGGER_PATH"]).open("w", buffering=1) as log:
        for step, save in steps_of(settings):
            logged = {
                "train/loss": 1 / step,
                "train/grad_norm": 1.0,
                "train/lr": 1e-5,
                "train/global_tokens": 40 * batch,
            }
            log.write(json.dumps({"step": step, "data": logged}) + "\n")
            save("huggingface")


def steps_of(settings: dict[str, str]) -> Iterator[tuple[int, Callable[[str], None]]]:
    """The steps behind the newest checkpoint, and what saves one where it is due."""
    total, save_every = int(settings["trainer.total_training_steps"]), int(settings["trainer.save_freq"])
    start = settings.get("model.path") or settings["actor_rollout_ref.model.path"]
    checkpoints = Path(settings["trainer.default_local_dir"])
    latest = checkpoints / "latest_checkpointed_iteration.txt"
    for step in range((int(latest.read_text()) if latest.exists() else 0) + 1, total + 1):
        time.sleep(float(os.environ.get("TOY_STEP_S", "0")))
        if step == int(os.environ.get("TOY_FAILS_AT", "0")):
            raise RuntimeError("CUDA out of memory, says the toy")

        def save(name: str, step: int = step) -> None:
            if step % save_every == 0 or step == total:
                shutil.copytree(start, checkpoints / f"global_step_{step}" / name)
                latest.write_text(str(step))

        yield step, save


def train(settings: dict[str, str]) -> None:
    """What verl's GRPO leaves behind."""
    batch, group = int(settings["data.train_batch_size"]), int(settings["actor_rollout_ref.rollout.n"])
    rows = pq.read_table(settings["data.train_files"]).to_pylist()
    journal_folder = re.search(r"journal:'([^']*)'", settings["reward.custom_reward_function.reward_kwargs"])
    assert journal_folder
    journal = RewardJournal(Path(journal_folder[1]))
    own = re.search(r"reward:'([^']*)'", settings["reward.custom_reward_function.reward_kwargs"])
    payer = Payer("paper", tokenizer=settings["actor_rollout_ref.model.path"], reward=own[1] if own else None)
    with Path(os.environ["VERL_FILE_LOGGER_PATH"]).open("w", buffering=1) as log:
        for step, save in steps_of(settings):
            for place in range(batch):
                row = rows[(step * batch + place) % len(rows)]
                for sample in range(group):
                    journal.add(paid_trace(payer, journal, row, step, sample))
            save("actor/huggingface")
            log.write(json.dumps({"step": step, "data": {"actor/pg_loss": step / 10, "actor/lr": 1e-6}}) + "\n")


def paid_trace(payer: Payer, journal: RewardJournal, row: dict[str, Any], step: int, sample: int) -> PaidTrace:
    problem = Problem.model_validate_json(row["extra_info"]["problem"])
    final = problem.answer if sample % 2 else "no"
    text = os.environ.get("TOY_TEXT") or FIVE.format(first="no", final=final)
    paid = payer.pay(problem, text)
    case = paid.case
    trace = Trace(
        origin=journal.origin.model_copy(update={"step": step}),
        problem=problem,
        sample=sample,
        text=text,
        parsed=case.parsed,
        first_grade=case.first,
        final_grade=case.final,
        reward=paid.reward,
        tokens=case.tokens,
    )
    return PaidTrace(uid=f"{step}-{problem.id}", step=step, split="train", trace=trace)


if __name__ == "__main__":
    main(sys.argv[1:])
