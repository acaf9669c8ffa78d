"""A configuration of ours in verl's words: everything that decides something is written, and what verl cannot do is
refused with the reason.
"""

from pathlib import Path
from typing import Any

import pytest

from srpo.config.load import load_config
from srpo.core.advantages import group_advantages
from srpo.engines.verl.facts import RunFacts
from srpo.engines.verl.gaps import refuse, rl_differences, rl_gaps, sft_gaps
from srpo.engines.verl.hydra import names, overrides
from srpo.engines.verl.rl_settings import rl_settings
from srpo.engines.verl.sft_settings import num_steps, sft_settings
from srpo.policy.engine import EngineConfig
from srpo.rl.config import RlConfig
from srpo.sft.config import SftConfig

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes/verl").glob("*.yaml"))


def facts(**changes: Any) -> RunFacts:
    given = {"model": "/m", "run": "/runs/a", "launch": "/runs/a/engine/launch-001", "train_file": "/t.parquet",
             "num_train": 1000, "prompt_tokens": 900, "patch_size": 14}  # fmt: skip
    return RunFacts.model_validate({**given, **changes})


def rl(**changes: Any) -> RlConfig:
    return RlConfig.model_validate({"model": "m", "data": "drawn", "steps": 500, "engine": "verl", **changes})


def sft(**changes: Any) -> SftConfig:
    return SftConfig.model_validate({"model": "m", "traces": ["t"], "engine": "verl", **changes})


def words(config: RlConfig, **changes: Any) -> dict[str, str]:
    found = overrides(*rl_settings(config, facts(**changes)))
    return dict(word.split("=", 1) for word in found)


def recipe(file: Path) -> RlConfig | SftConfig:
    return load_config(SftConfig, file) if "-sft-" in file.name else load_config(RlConfig, file)


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_verl_can_do_what_the_recipes_ask_for(file: Path) -> None:
    config = recipe(file)
    assert config.engine is not None
    if isinstance(config, RlConfig):
        assert rl_gaps(config) == []
        found = overrides(*rl_settings(config, facts()))
        assert (config.num_prompts, config.group_size, config.steps, config.optim.lr) == (128, 8, 500, 1e-6)
        assert config.loss.importance_cap == 2.0
    else:
        assert sft_gaps(config) == []
        found = overrides(*sft_settings(config, facts(target_tokens=300)))
    assert len(found) == len(set(names(found)))
    assert f"trainer.nnodes={config.engine.nodes}" in found


def test_nothing_that_decides_is_left_to_verls_defaults() -> None:
    found = words(rl(num_prompts=32, max_tokens=100))
    assert found["actor_rollout_ref.actor.optim.weight_decay"] == "0.0"  # verl: 0.01
    assert found["actor_rollout_ref.actor.optim.betas"] == "[0.9,0.99]"  # verl: 0.999
    assert found["actor_rollout_ref.actor.clip_ratio_c"] == "1000000.0"  # verl clips twice
    assert found["actor_rollout_ref.actor.loss_agg_mode"] == "'seq-mean-token-mean'"
    assert found["actor_rollout_ref.rollout.n"] == "8"
    assert found["algorithm.adv_estimator"] == "'srpo_total'"
    assert found["algorithm.filter_groups.metric"] == "'final_accuracy'"
    assert found["data.filter_overlong_prompts"] == "false"  # it leaves out in silence what it cannot read
    assert found["data.max_prompt_length"] == "900"
    assert found["actor_rollout_ref.actor.ppo_max_token_len_per_gpu"] == "2000"
    assert found["trainer.logger"] == "['console','file']"  # verl: wandb
    assert "'preset:'" not in found["+reward.custom_reward_function.reward_kwargs"]


@pytest.mark.parametrize(
    ("variant", "mode", "aggregation", "scale"),
    [
        ("grpo", "vanilla", "seq-mean-token-mean", "true"),
        ("dapo", "vanilla", "token-mean", "true"),
        ("gspo", "gspo", "seq-mean-token-mean", "true"),
        ("cispo", "cispo", "token-mean", "true"),
        ("dr_grpo", "vanilla", "seq-mean-token-sum-norm", "false"),
    ],
)
def test_every_loss_has_its_words(variant: str, mode: str, aggregation: str, scale: str) -> None:
    found = words(rl(loss={"variant": variant}, max_tokens=77))
    assert found["actor_rollout_ref.actor.policy_loss.loss_mode"] == f"'{mode}'"
    assert found["actor_rollout_ref.actor.loss_agg_mode"] == f"'{aggregation}'"
    assert found["algorithm.norm_adv_by_std_in_grpo"] == scale
    assert found["actor_rollout_ref.actor.loss_scale_factor"] == ("77" if variant == "dr_grpo" else "null")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lora": {"rank": 1024}}, "lora.rank 1024: its samplers take adapters up to 512"),
        ({"optim": {"name": "muon"}}, "optim.name 'muon'"),
        ({"token_budget": 1000}, "token_budget: verl counts steps"),
        ({"loss": {"kl_on": "first"}}, "loss.kl_on 'first'"),
        ({"roll_ins": 0.5}, "roll_ins 0.5"),
        ({"recombine": 0.5}, "recombine 0.5"),
        ({"mask_first": 0.5}, "mask_first 0.5"),
        ({"filter_low": 0.2}, "filter_low 0.2, filter_high 1.0"),
        ({"online_filter": "off", "credit": "segment"}, "online_filter 'off' with credit 'segment'"),
        ({"sampler": {"kind": "vllm"}}, "sampler.kind 'vllm'"),
        ({"keep_best": "rl/reward/mean"}, "keep_best: verl writes"),
        ({"loss": {"minibatches": 3}}, "loss.minibatches 3: it must divide num_prompts 16"),
        ({"num_prompts": 5, "group_size": 3}, "15 responses for each optimizer step do not divide by the 8 GPUs"),
    ],
)
def test_what_verl_cannot_do_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    found = rl_gaps(rl(**changes))
    assert len(found) == 1, found
    assert reason in found[0]
    with pytest.raises(ValueError, match=r"this run cannot be had from verl 0\.9\.1:\n  "):
        refuse(found, "this run")


def test_sft_refuses_what_needs_samples_and_batches_that_do_not_divide() -> None:
    assert [one.partition(":")[0] for one in sft_gaps(sft(check_first_answer=9, batch_size=12))] == [
        "check_first_answer",
        "batch_size 12",
    ]
    assert num_steps(sft(batch_size=32, epochs=3), 100) == 9
    assert num_steps(sft(batch_size=32, epochs=3, max_steps=4), 100) == 4


def test_what_differs_is_said() -> None:
    said = rl_differences(rl(optim={"lr": 1e-6, "weight_decay": 0.1}, loss={"minibatches": 4}, micro_responses=2))
    assert any("max_refills 1: verl draws until a step has 16 groups" in one for one in said)
    assert any("optim.weight_decay 0.1: on all weights there" in one for one in said)
    assert any("from rollout to rollout" in one for one in said)
    assert any("engine.tokens_per_gpu" in one for one in said)


def test_adapters_have_their_words() -> None:
    found = words(rl(lora={"rank": 8, "alpha": 12}), adapted=".*q_proj", vision=["visual"])
    assert (found["actor_rollout_ref.model.lora_rank"], found["actor_rollout_ref.model.lora_alpha"]) == ("8", "12")
    assert found["actor_rollout_ref.model.target_modules"] == "'.*q_proj'"
    assert found["actor_rollout_ref.model.exclude_modules"] == "'.*(visual).*'"
    assert found["actor_rollout_ref.model.lora.merge"] == "false"
    assert found["actor_rollout_ref.rollout.load_format"] == "'auto'"
    assert words(rl(lora={"rank": 8}))["actor_rollout_ref.model.lora_alpha"] == "16"
    tower = words(rl(lora={"vision": True}))
    assert (tower["actor_rollout_ref.model.lora.merge"], tower["actor_rollout_ref.rollout.load_format"]) == (
        "true",
        "'dummy'",
    )
    assert words(rl())["actor_rollout_ref.model.lora_rank"] == "0"
    learned = overrides(*sft_settings(sft(lora={"rank": 4}), facts(target_tokens=9, adapted=".*q_proj")))
    assert {"model.lora_rank=4", "model.lora_alpha=8", "model.target_modules='.*q_proj'"} <= set(learned)


def test_a_reward_of_ones_own_is_named_to_the_manager() -> None:
    found = words(rl(reward="my_rewards:shorter", weights={"short": 0.2}))
    assert "reward:'my_rewards:shorter'" in found["+reward.custom_reward_function.reward_kwargs"]


def test_a_budget_of_tokens_below_the_longest_response_is_refused() -> None:
    config = rl(max_tokens=500, engine={"kind": "verl", "tokens_per_gpu": 1000})
    with pytest.raises(ValueError, match=r"tokens_per_gpu 1,000: the longest prompt and response have 1,400 tokens"):
        rl_settings(config, facts())


def test_the_engine_is_named_alone_or_with_its_settings(tmp_path: Path) -> None:
    file = tmp_path / "rl.yaml"
    file.write_text("model: m\ndata: drawn\nsteps: 9\nengine: {kind: verl, gpus: 4, nodes: 2}\n")
    assert load_config(RlConfig, file, ["--engine", "verl"]).engine == load_config(RlConfig, file).engine
    found = load_config(RlConfig, file, ["--engine.gpus", "2"]).engine
    assert found is not None
    assert found.num_gpus == 4
    assert load_config(RlConfig, file, ["--engine", "null"]).engine is None
    alone = ["--model", "m", "--data", "drawn", "--steps", "3", "--engine", "verl", "--engine.gpus", "2"]
    assert load_config(RlConfig, None, alone).engine == EngineConfig(gpus=2)
    with pytest.raises(ValueError, match=r"tensor_parallel 3 does not divide 8 GPUs"):
        load_config(RlConfig, file, ["--engine.tensor_parallel", "3"])
    with pytest.raises(ValueError, match="is no setting; they look like"):
        load_config(RlConfig, file, ["--engine.overrides", "rm -rf"])


def test_quotes_and_backslashes_survive_hydras_grammar() -> None:
    assert overrides({"a": "it's"}, {"b": {"c": [1, None, True]}}) == (r"a='it\'s'", "b={c:[1,null,true]}")


def test_verls_estimator_is_not_ours() -> None:
    ours = group_advantages([1.6, 0.85, 0.85, 1.1])
    assert sum(one * one for one in ours) == pytest.approx(4.0)  # the population's deviation; the sample's gives 3
