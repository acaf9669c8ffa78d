"""The whole method on a laptop: `plan` says which stages with which settings, `run` carries them out."""
