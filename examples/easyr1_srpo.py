r"""The reward of SRPO in EasyR1; `pip install srpo` in its environment.

    srpo export RUN --format easyr1 --out DATA
    python -m verl.trainer.main config=CONFIG data.train_files=DATA/easyr1/train.parquet \
        data.prompt_key=prompt data.answer_key=answer data.image_key=images data.format_prompt=null \
        worker.reward.reward_function=examples/easyr1_srpo.py:easyr1_reward \
        'worker.reward.reward_function_kwargs={preset: paper, tokenizer: /models/Qwen2.5-VL-7B-Instruct}'

EasyR1 hands over no token ids: without a tokenizer the reward has no length term, and says so.
"""

from srpo.engines.easyr1 import REWARD_NAME, REWARD_TYPE, easyr1_reward

__all__ = ["REWARD_NAME", "REWARD_TYPE", "easyr1_reward"]
