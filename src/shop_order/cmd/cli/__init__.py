"""The command line: argv, subcommands, exit codes."""
