r"""The reward of SRPO in verl's own training; `pip install srpo` in its environment.

    srpo export RUN --format verl --out DATA
    python examples/verl_srpo.py DATA/verl/rl.parquet /models/Qwen2.5-VL-7B-Instruct trainer.n_gpus_per_node=8 ...

Whatever else verl is to do stands behind, in its own words. Its reward manager is ours, which knows the token ids. For
the whole method on verl there is `srpo rl CONFIG --engine verl`.
"""

import sys

from verl.trainer.main_ppo import main

DATA, MODEL, *MORE = sys.argv[1:]
sys.argv[1:] = [
    f"data.train_files={DATA}", f"data.val_files={DATA}", "data.image_key=images",
    f"actor_rollout_ref.model.path={MODEL}", "actor_rollout_ref.rollout.n=8", "algorithm.adv_estimator=grpo",
    "reward.reward_manager.source=importlib", "reward.reward_manager.module.path=pkg://srpo.engines.verl",
    "reward.reward_manager.name=RewardManager", "+reward.custom_reward_function.reward_kwargs.preset=paper",
    *MORE,
]  # fmt: skip

if __name__ == "__main__":
    main()
