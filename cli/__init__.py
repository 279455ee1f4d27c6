"""The `fitx` command, one file per subcommand."""
