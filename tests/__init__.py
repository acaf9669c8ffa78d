"""A package, so that the name `tests` means this folder whatever else is installed."""
