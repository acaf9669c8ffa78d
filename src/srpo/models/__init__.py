"""Who writes text: local checkpoints, the scripted teacher, fakes, behind one protocol."""
