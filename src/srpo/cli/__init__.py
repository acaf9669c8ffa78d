"""The `srpo` command: parse, call, print. One thin module per subcommand."""
