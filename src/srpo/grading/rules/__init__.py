"""The rules of the grader, from a marked answer to a verdict; `route` is where they meet."""
