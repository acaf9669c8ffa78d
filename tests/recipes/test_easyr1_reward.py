"""`examples/easyr1_srpo.py` through EasyR1's own reward manager, on a batch of its own kind.

Runs where SRPO_EASYR1_PYTHON names a python that imports EasyR1's `verl` (docs/engines.md).
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from srpo.engines.easyr1 import easyr1_reward
from srpo.engines.payer import encode, load_tokenizer
from srpo.policy.load import shipped_base
from tests.support.responses import reflective

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("SRPO_EASYR1_PYTHON", "")
THEIRS = """
import json, sys
import numpy as np, torch
from tokenizers import Tokenizer
from verl.protocol import DataProto
from verl.workers.reward import AutoRewardManager, RewardConfig

model, texts, label = json.loads(sys.argv[1])

class Slow:
    fast = Tokenizer.from_file(model + "/tokenizer.json")
    def decode(self, ids, skip_special_tokens):
        return self.fast.decode([int(one) for one in ids], skip_special_tokens=skip_special_tokens)

rows = [Slow.fast.encode(text, add_special_tokens=False).ids for text in texts]
longest = max(map(len, rows))
ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
data = DataProto.from_dict(
    {"responses": ids, "response_mask": mask}, {"ground_truth": np.array([label] * len(rows), dtype=object)}
)
config = RewardConfig(
    reward_function="examples/easyr1_srpo.py:easyr1_reward",
    reward_function_kwargs={"preset": "paper", "tokenizer": model},
)
config.post_init()
scores, metrics = AutoRewardManager(config, Slow()).compute_reward(data)
last = [row[length - 1].item() for row, length in zip(scores, mask.sum(-1))]
print(json.dumps({"totals": last, "all": scores.sum(-1).tolist(), "metrics": metrics}))
"""


@pytest.mark.skipif(not PYTHON, reason="SRPO_EASYR1_PYTHON names no python with EasyR1 (docs/engines.md)")
def test_easyr1s_manager_pays_what_the_shim_says() -> None:
    texts, label = [reflective("5", "7"), reflective("7", "7"), "no blocks"], json.dumps({"gold": "7"})
    model = str(shipped_base())
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [PYTHON, "-c", THEIRS, json.dumps([model, texts, label])]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, found.stderr
    theirs = json.loads(found.stdout.splitlines()[-1])
    tokenizer = load_tokenizer(model)
    given = [
        {"response": text, "response_length": len(encode(tokenizer, text)), "ground_truth": label} for text in texts
    ]
    ours = easyr1_reward(given, preset="paper", tokenizer=model)
    assert theirs["totals"] == pytest.approx([one["overall"] for one in ours])
    assert theirs["all"] == pytest.approx(theirs["totals"]), "the whole reward is on the last token"
    assert theirs["metrics"] == {name: [one[name] for one in ours] for name in ours[0]}
