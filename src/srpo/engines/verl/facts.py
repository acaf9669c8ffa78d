"""What a run on verl knows beside its configuration before it starts."""

from pathlib import Path

from srpo.core.records import Record


class RunFacts(Record):
    """Files, sizes and places, all paths absolute."""

    model: Path
    """Checkpoint directory."""
    run: Path
    """Run directory."""
    launch: Path
    """Folder of this start within it."""
    train_file: Path
    num_train: int
    """Problems or traces in it."""
    eval_file: Path | None = None
    prompt_tokens: int
    """Longest prompt."""
    target_tokens: int = 0
    """Longest target of SFT."""
    patch_size: int
    """Of the model's image processor."""
    adapted: str = ""
    """Layers with adapters, as a regular expression of their names; empty where all weights train."""
    vision: tuple[str, ...] = ()
    """Modules that pictures go through."""

    @property
    def checkpoints(self) -> Path:
        """Where verl keeps its checkpoints."""
        return self.run / "engine" / "checkpoints"
