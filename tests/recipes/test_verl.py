"""verl itself, in its own environment: it takes our settings, reads our files as we meant them, pays by our reward and
credits by our estimator. Runs where SRPO_VERL_PYTHON names a python that has verl 0.9.1 (docs/clusters.md).
"""

import json
import os
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml

from srpo.cli.reward import RewardRow, reward_row
from srpo.config.load import load_config
from srpo.core.advantages import group_advantages
from srpo.core.prompts import BARE
from srpo.core.records import Problem
from srpo.core.response import first_attempt_end
from srpo.data.images import load_image
from srpo.data.jsonl import Located
from srpo.engines.payer import encode, load_tokenizer
from srpo.engines.verl.data import look_at_rl, look_at_sft, prepare_rl, prepare_sft
from srpo.engines.verl.dry_run import compose
from srpo.engines.verl.facts import RunFacts
from srpo.engines.verl.hydra import overrides
from srpo.engines.verl.journal import ORIGIN, RewardTails
from srpo.engines.verl.launch import verl_environment
from srpo.engines.verl.model import read_model
from srpo.engines.verl.rl_run import plugin_settings, rl_facts
from srpo.engines.verl.rl_settings import RL_ENTRY, rl_settings
from srpo.engines.verl.sft_order import batches
from srpo.engines.verl.sft_run import sft_facts
from srpo.engines.verl.sft_settings import SFT_ENTRY, sft_settings
from srpo.policy.config import LoraConfig
from srpo.policy.engine import EngineConfig
from srpo.policy.load import load_outline
from srpo.rl.config import RlConfig
from srpo.rl.problems import load_rl_problems
from srpo.sft.config import SftConfig
from tests.support.training import write_traces
from tests.unit.test_verl_merge import FIVE

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("SRPO_VERL_PYTHON", "")
CHILD = ROOT / "tests/support/verl_child.py"
TINY = ROOT / "src/srpo/assets/tiny-base"
RECIPES = sorted((ROOT / "recipes/verl").glob("*.yaml"))

pytestmark = [
    pytest.mark.verl,
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="SRPO_VERL_PYTHON names no python that has verl (docs/clusters.md)"),
]
# torchvision has no CPU build; where it is one for a GPU, the stand-in does nothing.
ENGINE = {
    "kind": "verl",
    "python": PYTHON,
    "environment": {"PYTHONPATH": str(ROOT / "scripts/torchvision_cpu"), "HF_HUB_OFFLINE": "1"},
}
SETTINGS: dict[str, Any] = {"model": "tiny-base", "data": {"drawn": {"count": 12}}, "prompt": "bare", "steps": 3,
                            "num_prompts": 4, "max_pixels": 40000, "engine": ENGINE}  # fmt: skip
CONFIG = RlConfig.model_validate(SETTINGS)
PROBLEM = Problem(id="bars", question="How many?", answer="B", choices=("5", "7", "12"), images=("drawn:pairs/1/1",))
TEXTS = [FIVE.format(first="7", final="7"), FIVE.format(first="5", final="B"), FIVE.format(first="7", final="5"), "7"]


class PreparedRun:
    """What a run writes before it starts."""

    def __init__(self, folder: Path) -> None:
        self.model = read_model("tiny-base")
        self.rl = look_at_rl(CONFIG, self.model, BARE, load_rl_problems(CONFIG))
        launch = folder / "rl/engine/launch-001"
        launch.mkdir(parents=True)
        prepare_rl(self.rl, folder / "rl/engine")
        (launch / ORIGIN).write_text('{"stage": "rl", "model": "m"}')
        facts = rl_facts(folder / "rl", launch, self.model, self.rl.prepared)
        self.launch, self.rl_words = launch, list(overrides(*rl_settings(CONFIG, facts)))
        self.sft_config = SftConfig.model_validate(
            {"model": "tiny-base", "traces": [str(write_traces(folder))], "prompt": "bare", "batch_size": 8,
             "first_attempt_loss": "right", "engine": ENGINE}
        )  # fmt: skip
        self.sft = look_at_sft(self.sft_config, load_outline("tiny-base"))
        (folder / "sft/engine").mkdir(parents=True)
        prepare_sft(self.sft, folder / "sft/engine")
        sft = sft_facts(folder / "sft", folder / "sft/engine/launch-001", self.model, self.sft.prepared)
        self.sft_words = list(overrides(*sft_settings(self.sft_config, sft)))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedRun:
    return PreparedRun(tmp_path_factory.mktemp("verl"))


@pytest.fixture(scope="module")
def answers(prepared: PreparedRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One process for all questions: loading verl takes most of the time."""
    folder = tmp_path_factory.mktemp("child")
    rewards = [1.6, 0.85, 0.85, 1.1, 1.35, 1.35, 0.0]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("problems", {"words": prepared.rl_words}),
        ("targets", {"words": prepared.sft_words}),
        ("rewards", {"words": prepared.rl_words, "problem": PROBLEM.model_dump_json(), "texts": TEXTS}),
        ("advantages", {"rewards_B": rewards, "uids": [*"aaaabba"], "lengths": [3, 2, 4, 1, 2, 2, 0]}),
        ("epochs", {"folder": str(folder / "epochs")}),
        ("logits", {"model": str(TINY), "ids": list(range(20, 40))}),
        ("frozen", {"model": str(TINY)}),  # the last: it patches the model's class
    ]
    (folder / "asked.json").write_text(json.dumps(asked))
    (folder / "settings.json").write_text(plugin_settings(CONFIG, prepared.model).model_dump_json())
    (folder / "srpo").symlink_to(ROOT / "src/srpo")
    engine = EngineConfig.model_validate(ENGINE)
    done = subprocess.run(
        [PYTHON, str(CHILD), str(folder / "asked.json")],
        env={**os.environ, **verl_environment(engine, folder, folder / "settings.json")},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(zip([name for name, _ in asked], json.loads(done.stdout), strict=True))


def test_verl_takes_the_settings_of_every_recipe(
    prepared: PreparedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "verl_own_rewards.py").write_text("def right(case):\n    return {'right': 1.0}\n")
    monkeypatch.syspath_prepend(tmp_path)
    asked: list[tuple[str, list[str]]] = []
    for file in RECIPES:
        facts = RunFacts.model_validate(
            {"model": TINY, "run": "/r", "launch": "/r/engine/launch-001", "train_file": "/t.parquet",
             "num_train": 9999, "prompt_tokens": 2000, "target_tokens": 900, "patch_size": 14}
        )  # fmt: skip
        if "-sft-" in file.name:
            asked.append((SFT_ENTRY, list(overrides(*sft_settings(load_config(SftConfig, file), facts)))))
        else:
            asked.append((RL_ENTRY, list(overrides(*rl_settings(load_config(RlConfig, file), facts)))))
    variants: list[dict[str, Any]] = [
        {"loss": {"variant": name, "kl_coef": 0.01}} for name in ("dapo", "dr_grpo", "gspo", "cispo")
    ]
    adapted = read_model("tiny-base", LoraConfig()).adapted
    facts = facts.model_copy(update={"adapted": adapted, "vision": prepared.model.vision})
    variants += [{"credit": "segment"}, {"loss": {"minibatches": 4}}, {"dtype": "float32"}]
    variants += [{"reward": "verl_own_rewards:right"}]
    for changes in (*variants, {"lora": {"rank": 4}}, {"lora": {"alpha": 0.5, "vision": True}}):
        config = RlConfig.model_validate({**SETTINGS, "num_prompts": 32, **changes})
        asked.append((RL_ENTRY, list(overrides(*rl_settings(config, facts)))))
    asked.append((SFT_ENTRY, list(overrides(*sft_settings(SftConfig.model_validate(
        {"model": "tiny-base", "traces": ["t"], "lora": {"rank": 4}, "engine": ENGINE}), facts)))))  # fmt: skip
    wrong = [word.replace("srpo_total", "srpo_totl") for word in asked[1][1]]
    asked += [(RL_ENTRY, wrong), (RL_ENTRY, [*asked[1][1], "data.no_such=1"])]
    engine, settings = EngineConfig.model_validate(ENGINE), plugin_settings(CONFIG, prepared.model)
    found = compose(engine, asked, settings, "verl_own_rewards:right")
    assert {one.version for one in found} == {"0.9.1"}
    assert [one.problems for one in found[:-2]] == [()] * (len(RECIPES) + 11)
    assert found[-3].changed["model.target_modules"] == ("all-linear", adapted)
    assert found[1].changed["actor_rollout_ref.actor.optim.weight_decay"] == (0.01, 0.0)
    assert "algorithm.adv_estimator: verl has no 'srpo_totl', but " in found[-2].problems[0]
    assert "no_such" in found[-1].problems[0]


def test_verl_reads_the_prompts_and_pictures_that_our_own_loop_would_sample_from(
    prepared: PreparedRun, answers: dict[str, Any]
) -> None:
    rows = answers["problems"]
    assert len(rows) == len(prepared.rl.train) == 12
    processor = prepared.model.processor
    for problem, row in zip(prepared.rl.train, rows, strict=True):
        pictures = [load_image(ref, max_pixels=CONFIG.max_pixels) for ref in problem.images]
        ours = processor.encode(BARE.turns(problem.question), pictures)
        assert row["id"] == problem.id
        assert row["ids"] == ours.input_ids.tolist()
        assert ours.pixel_values is not None
        values = processor.values(ours.pixel_values).double().flatten().tolist()
        assert row["pixels"] == pytest.approx(values, abs=1e-5)
    assert max(len(row["ids"]) for row in rows) == prepared.rl.prepared.prompt_tokens


def test_verl_learns_the_tokens_that_srpo_sft_learns(prepared: PreparedRun, answers: dict[str, Any]) -> None:
    ours = [list(example.tokens[example.skipped_tokens :]) for example in prepared.sft.examples]
    assert any(example.skipped_tokens for example in prepared.sft.examples)
    # The template ends a turn with a line break behind the end token.
    theirs = [row[: len(tokens)] for row, tokens in zip(answers["targets"], ours, strict=True)]
    assert theirs == ours
    assert all(len(row) - len(tokens) <= 1 for row, tokens in zip(answers["targets"], ours, strict=True))


def test_the_reward_is_that_of_srpo_reward_to_the_bit_and_every_response_is_written_down(
    prepared: PreparedRun, answers: dict[str, Any]
) -> None:
    tokenizer = load_tokenizer(str(TINY))
    written = list(RewardTails(prepared.launch).new())
    for text, paid, trace in zip(TEXTS, answers["rewards"], written, strict=True):
        end = first_attempt_end(text)
        first = 0 if end is None else len(encode(tokenizer, text[:end]))
        row = RewardRow(id="bars", question="How many?", gold="B", choices=["5", "7", "12"], response=text,
                        num_tokens=len(paid["ids"]), first_tokens=first)  # fmt: skip
        ours = reward_row(Located(row, "f", 1), "paper", "reflective").reward
        assert ours is not None
        assert paid["reward_score"] == ours.total
        assert trace.trace.reward == ours
        assert (trace.step, trace.trace.problem, trace.trace.text) == (7, PROBLEM, text)
        assert trace.trace.tokens is not None
        assert (trace.trace.tokens.prompt, trace.trace.tokens.truncated) == (3, False)


def test_verls_trainer_credits_by_our_estimator(answers: dict[str, Any]) -> None:
    found = answers["advantages"]
    ours = [*group_advantages([1.6, 0.85, 0.85, 1.1]), 0.0, 0.0, 0.0]
    assert [max(row, key=abs) for row in found["srpo_total"]] == pytest.approx(ours, abs=1e-6)
    assert [sum(map(bool, row)) for row in found["srpo_total"]] == [3, 2, 4, 0, 0, 0, 0]
    assert max(found["grpo"][0]) < max(found["srpo_total"][0])


def test_the_plugin_is_in_verls_workers(prepared: PreparedRun, answers: dict[str, Any]) -> None:
    found = answers["frozen"]
    tower = [name for name in found["all"] if "visual." in name]
    assert tower
    assert sorted(found["trained"]) == sorted(set(found["all"]) - set(tower))
    assert found["rates"] == ["0.200000", "0.400000", "0.600000", "0.800000", "1.000000"]
    assert found["trainer"] == ["SrpoTrainer"]
    assert set(map(str, prepared.model.banned_ids)) <= set(found["banned"])


def test_the_example_puts_our_manager_into_verls_own_training(prepared: PreparedRun) -> None:
    example = [PYTHON, str(ROOT / "examples/verl_srpo.py"), "/d.parquet", str(TINY), "trainer.nnodes=3", "--cfg", "job"]
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'scripts/torchvision_cpu'}", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        example, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    config = yaml.safe_load(done.stdout[done.stdout.index("actor_rollout_ref:") :])
    assert config["reward"]["reward_manager"]["module"]["path"] == "pkg://srpo.engines.verl"
    assert config["reward"]["custom_reward_function"]["reward_kwargs"] == {"preset": "paper"}
    assert (config["trainer"]["nnodes"], config["data"]["train_files"]) == (3, "/d.parquet")


def test_an_epoch_that_a_cold_start_goes_on_behind_is_not_lost(answers: dict[str, Any]) -> None:
    rows = list(islice(batches(6, 2), 6))
    assert answers["epochs"] == [rows[2:3], rows[3:6]]


def test_our_checkpoint_has_the_same_logits_under_verls_transformers(answers: dict[str, Any]) -> None:
    import torch
    import transformers

    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(TINY, dtype=torch.float32).eval()
    with torch.no_grad():
        ours = model(input_ids=torch.tensor([list(range(20, 40))])).logits[0, -1].tolist()
    assert answers["logits"] == pytest.approx(ours, abs=1e-5)
