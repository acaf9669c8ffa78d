"""The picture of the panel in docs/training.md: a real training in a real terminal, as light and as dark SVG.

    srpo demo --minutes 1 --out demo
    python scripts/panel_picture.py demo

Needs tmux. RL of the demo runs once more from its cold start, in a terminal that tmux keeps, until it has made some
steps; what the terminal shows then is drawn by rich, and the training is ended.
"""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
WIDTH, HEIGHT = 112, 24
PATIENCE_S = 300
ENOUGH = re.compile(r"^rl .* [1-9]\d{4}/\d+ .*^  memory ", re.M | re.S)
THEMES = {"light": DEFAULT_TERMINAL_THEME, "dark": SVG_EXPORT_THEME}
_FONTS = re.compile(r"@font-face \{.*?\}", re.S)


def tmux(*words: str) -> str:
    """What tmux prints, on a server of our own."""
    command = ["tmux", "-L", "srpo-panel", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603


def panel_of(command: str) -> str:
    """What the command's terminal shows, with its colours, once RL is well under way."""
    tmux("new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), command)
    try:
        until_s = time.monotonic() + PATIENCE_S
        while not ENOUGH.search(tmux("capture-pane", "-p")):
            if time.monotonic() > until_s:
                raise ValueError(f"no panel after {PATIENCE_S} seconds: {tmux('capture-pane', '-p')}")
            time.sleep(0.5)
        shown = tmux("capture-pane", "-p", "-e")
    finally:
        tmux("kill-server")
    lines = shown.splitlines()
    start = next(place for place, line in enumerate(lines) if re.search(r"(^|m)rl ", line))
    return "\n".join(lines[start:]).rstrip()


def drawn(shown: str, theme: TerminalTheme) -> str:
    """The terminal's text as SVG that asks nobody for fonts."""
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere)
        console.print(Text.from_ansi(shown), soft_wrap=True)
        return _FONTS.sub("", console.export_svg(title="srpo rl", theme=theme))


def main(demo: Path) -> None:
    """Write both pictures."""
    with TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "srpo", "rl", str(demo.resolve() / "configs" / "srpo.yaml")]
        shown = panel_of(shlex.join([*words, "--out", f"{folder}/rl"]))
    for name, theme in THEMES.items():
        (IMAGES / f"panel-{name}.svg").write_text(drawn(shown, theme) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
