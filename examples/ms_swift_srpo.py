r"""The reward of SRPO in ms-swift; `pip install srpo` in its environment.

    srpo export RUN --format ms-swift --out DATA
    SRPO_MODEL=/models/Qwen2.5-VL-7B-Instruct swift rlhf --rlhf_type grpo --model $SRPO_MODEL ... \
        --dataset DATA/ms-swift/train.parquet --external_plugins examples/ms_swift_srpo.py --reward_funcs srpo

Without SRPO_MODEL the reward has no length term, and says so.
"""

import os

from swift.rewards import ORM, orms

from srpo.engines.ms_swift import ms_swift_reward

orms["srpo"] = ms_swift_reward(ORM, "paper", tokenizer=os.environ.get("SRPO_MODEL"))
