"""`srpo push` without network: what went wrong, and that the folder is complete."""

import os
import subprocess
import sys
from pathlib import Path

from srpo.runs.directory import RunDir
from srpo.sft.config import SftConfig


def test_without_network_the_folder_is_complete_and_the_message_says_how_to_go_on(tmp_path: Path) -> None:
    def save(path: Path) -> None:
        (path / "config.json").write_text("{}")

    config = SftConfig(model="Qwen/Qwen2.5-VL-3B-Instruct", traces=("runs/reflect",))
    with RunDir.open(tmp_path / "sft", config, "sft") as run:
        run.save_model(save)
        run.finish({"steps": 1})
    command = [sys.executable, "-m", "srpo", "push", str(tmp_path / "sft"), "--repo", "me/cold"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_TOKEN": "hf_0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "'me/cold' could not be pushed (OfflineModeIsEnabled" in done.stderr
    assert "`hf upload me/cold" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "sft" / "push" / "README.md").is_file()
