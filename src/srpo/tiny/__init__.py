"""The small world: a tiny Qwen2.5-VL, what its base learns, and the demo that runs the whole method on it."""
