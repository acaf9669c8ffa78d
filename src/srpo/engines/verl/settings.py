"""What verl's processes are told by a file, beside their own configuration."""

import os
from pathlib import Path

from srpo.core.records import Record
from srpo.policy.config import LoraConfig, OptimConfig

SETTINGS_VARIABLE = "SRPO_VERL_SETTINGS"
PLUGIN = "srpo.engines.verl.plugin"
"""What VERL_USE_EXTERNAL_MODULES names."""


class PluginSettings(Record):
    """What `plugin` puts into each process."""

    banned_ids: tuple[int, ...]
    """Tokens that no response may hold, beyond the image and video tokens that verl bans itself."""
    frozen: tuple[str, ...]
    """Submodules whose weights stay as they are."""
    optim: OptimConfig
    """Of which the schedule is used."""
    total_steps: int
    """Rollouts of RL, optimizer steps of SFT."""
    updates: int = 1
    """Optimizer steps for each of them."""
    lora: LoraConfig | None = None
    """Adapters, which are begun as ours are and added to the weights of a model that is written."""


def read_settings() -> PluginSettings | None:
    """The settings of this process; None where nobody gave it any."""
    place = os.environ.get(SETTINGS_VARIABLE)
    return PluginSettings.model_validate_json(Path(place).read_bytes()) if place else None
