"""The authors' own scoring rules as pure functions, quirks included: for their numbers, not for ours.

Each module says in its docstring what its benchmark's code does, and where ours differs on purpose. Golden outputs of
the authors' code pin them (tests/golden/test_official_shared.py). Nothing here evaluates text that a model wrote.
"""
