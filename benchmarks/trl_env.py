"""An environment of its own for the trainer that users would pick: TRL, with this project's torch and transformers.

    python -m benchmarks.trl_env [--at DIR]

The rows against TRL (`python -m benchmarks.trl_update` and the others) run in it, and call this first: it does nothing
where the environment stands already. The project is put in by path, not copied: what is measured is this checkout.
"""

import argparse
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

AT = Path(os.environ.get("SRPO_TRL_ENV", Path.home() / ".cache/srpo/trl-1.16.0"))
PEERS = ("trl==1.16.0", "accelerate==1.15.0", "math-verify==0.9.0", "datasets", "pillow", "pyyaml")
"""What is measured against."""
SOURCE = Path(__file__).resolve().parents[1]


def python_of(at: Path) -> Path:
    """The interpreter of an environment."""
    return at / "bin/python"


def ensure(at: Path) -> Path:
    """Make the environment if it is missing, and return its interpreter."""
    done = at / ".installed"
    wanted = "\n".join([*PEERS, *_same_here()]) + "\n"
    if done.is_file() and done.read_text("utf-8") == wanted:
        return python_of(at)
    subprocess.run([sys.executable, "-m", "venv", str(at)], check=True)
    pip = [str(python_of(at)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # The lock names the place where torch is without a GPU's libraries.
    subprocess.run([*pip, "-r", str(SOURCE / "requirements-torch.lock")], check=True)
    subprocess.run([*pip, *PEERS, *_same_here()], check=True)
    (at / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages/srpo.pth").write_text(
        f"{SOURCE / 'src'}\n{SOURCE}\n", "utf-8"
    )
    done.write_text(wanted, "utf-8")
    return python_of(at)


def _same_here() -> list[str]:
    """What both sides share must be the same release on both."""
    names = ("torch", "transformers", "numpy", "pydantic")
    return [f"{name}=={version(name).split('+')[0]}" for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", type=Path, default=AT)
    print(ensure(parser.parse_args().at))


if __name__ == "__main__":
    main()
