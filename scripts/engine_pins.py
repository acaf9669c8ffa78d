"""The packages that pip would put beside each engine: the files of tests/support/pins/, made by this script.

    python scripts/engine_pins.py uv        # any uv; it needs a package index, and installs nothing

Some requirements cannot be resolved as they stand. flash-attn is source only and wants torch before it tells what it
asks for: it is left out, and brings nothing that srpo asks for. verl's extra `sglang` pins a release that pins
transformers 5.6.0, which verl itself excludes: that version is forced. SGLang needs pre-releases.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

PINS = Path(__file__).parents[1] / "tests" / "support" / "pins"
ENGINES = {
    "verl-vllm": "verl[vllm,fsdp]==0.9.1",
    "verl-sglang": "verl[sglang,fsdp]==0.9.1",
    "sglang": "sglang==0.5.23",
    "trl": "trl==1.16.0",
    "ms-swift": "ms-swift==4.6.0",
    "openrlhf": "openrlhf[vllm]==0.11.2",
}
OVERRIDES = {"verl-sglang": ["transformers==5.6.0"]}
WITHOUT = 'flash-attn; python_version < "3"'
PLATFORM = ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_35"]


def pin(uv: str, engine: str) -> None:
    """Resolve one engine for Linux and the oldest Python of ours, so that any pip of ours finds the versions."""
    with tempfile.TemporaryDirectory() as name:
        wanted, overrides = Path(name) / "wanted.txt", Path(name) / "overrides.txt"
        wanted.write_text(ENGINES[engine] + "\n", encoding="utf-8")
        overrides.write_text("\n".join([WITHOUT, *OVERRIDES.get(engine, [])]) + "\n", encoding="utf-8")
        quiet = ["--quiet", "--no-header", "--no-annotate"]
        early = ["--prerelease", "allow"] if "sglang" in engine else []
        command = [uv, "pip", "compile", *quiet, *early, *PLATFORM, "--override", str(overrides), str(wanted)]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603  our own words
    (PINS / f"{engine}.txt").write_text(f"# {ENGINES[engine]}: scripts/engine_pins.py\n{found}", encoding="utf-8")


if __name__ == "__main__":
    PINS.mkdir(exist_ok=True)
    for each in ENGINES:
        pin(sys.argv[1], each)
