"""One frozen tree per stage, filled from a YAML file and flags."""
