r"""The reward of SRPO in OpenRLHF; `pip install srpo` in its environment.

    srpo export RUN --format openrlhf --out DATA
    SRPO_MODEL=/models/Qwen2.5-VL-7B-Instruct python -m openrlhf.cli.train_ppo_ray ... \
        --data.prompt_dataset DATA/openrlhf/train.parquet --data.input_key prompt --data.label_key label \
        --data.image_key images --data.apply_chat_template --reward.remote_url examples/openrlhf_srpo.py

OpenRLHF hands over no token ids: without SRPO_MODEL the reward has no length term, and says so.
"""

import os

from srpo.engines.openrlhf import openrlhf_reward

reward_func = openrlhf_reward("paper", tokenizer=os.environ.get("SRPO_MODEL"))
