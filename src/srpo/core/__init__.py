"""The method itself, pure: records in, records out.

No torch, network, files, clock or global randomness in here (`make check` enforces it), so that every engine can import
the very same format, grading and rewards. `records` holds the values that all stages share, `response` the reflective
format, `answers` and `grading` decide what is right, `rewards` and `advantages` what it earns, `prompts` and
`selection` make training data, `statistics` says how sure we can be of a result.
"""
