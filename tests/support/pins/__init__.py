"""What pip would put beside each engine (scripts/engine_pins.py)."""

from pathlib import Path

from packaging.utils import canonicalize_name

ENGINES = sorted(path.stem for path in Path(__file__).parent.glob("*.txt"))


def pins_file(engine: str) -> Path:
    return Path(__file__).parent / f"{engine}.txt"


def read_pins(engine: str) -> dict[str, str]:
    """Package -> version."""
    lines = pins_file(engine).read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(";")[0].partition("==") for line in lines if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name.strip()): version.strip() for name, _, version in pairs}
