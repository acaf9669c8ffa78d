"""A process without any module of an extra grades and pays, and says which extra brings the rest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from srpo.runs.extras import EXTRAS

RIGHT_AFTER_WRONG = (
    "<think>a</think><answer>5</answer><reflection>I missed a bar</reflection><think>b</think><answer>7</answer>"
)
BLOCK = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(module for modules in EXTRAS.values() for module in modules)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def in_base(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process that has no module of any extra."""
    command = [sys.executable, "-c", BLOCK + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_grade_and_reward_need_the_base_alone(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"id": 1, "gold": "7", "response": RIGHT_AFTER_WRONG, "prediction": "7"}) + "\n")
    run = "from srpo.cli.main import main; sys.exit(main(sys.argv[1:]))"
    paid = in_base(run, "reward", str(rows), "--json")
    assert (paid.returncode, json.loads(paid.stdout)["outcome"]) == (0, "wrong→right"), paid.stderr
    graded = in_base(run, "grade", str(rows), "--json")
    assert (graded.returncode, json.loads(graded.stdout)["verdict"]) == (0, "correct"), graded.stderr
    shown = in_base(run, "compare", str(tmp_path), str(tmp_path))
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "this needs rich, which is not installed; install the extra: pip install 'srpo[report]'" in shown.stderr


def test_the_front_door_names_the_extra() -> None:
    code = "from srpo import grade, reward, user_text, Grader, Trace\nfrom srpo import load_problems"
    result = in_base(code)
    assert result.returncode == 1
    assert "pip install 'srpo[data]' (or 'srpo[all]')" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("shim", ["trl", "easyr1", "openrlhf", "ms_swift", "verl"])
def test_a_shim_pays_on_the_base_alone_and_brings_no_torch(shim: str) -> None:
    code = (
        "from srpo.core.records import Problem\nfrom srpo.engines.payer import Payer\n"
        "problem = Problem(id='a', question='q', answer='7')\n"
        "print(Payer('paper').pay(problem, sys.argv[1]).total)\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules, 'too much'"
    )
    paid = in_base(f"import srpo.engines.{shim}\n{code}", RIGHT_AFTER_WRONG)
    assert paid.returncode == 0, paid.stderr
    assert float(paid.stdout) > 1


def test_a_reward_of_ones_own_needs_the_base_alone(tmp_path: Path) -> None:
    (tmp_path / "own_rewards.py").write_text("def right(case):\n    return {'right': float(case.final.is_correct)}\n")
    code = (
        "sys.path.insert(0, sys.argv[2])\nfrom srpo.core.records import Problem\nfrom srpo.engines.payer import Payer\n"
        "class Characters:\n"
        "    encode = staticmethod(lambda text, add_special_tokens=True: list(map(ord, text)))\n"
        "    decode = staticmethod(lambda ids, skip_special_tokens=True: ''.join(map(chr, ids)))\n"
        "payer = Payer(reward='own_rewards:right', weights={'right': 3.0}, tokenizer=Characters())\n"
        "print(payer.pay(Problem(id='a', question='q', answer='7'), sys.argv[1]).total)\n"
        "assert 'torch' not in sys.modules, 'too much'"
    )
    paid = in_base(code, RIGHT_AFTER_WRONG, str(tmp_path))
    assert (paid.returncode, paid.stdout) == (0, "3.0\n"), paid.stderr
