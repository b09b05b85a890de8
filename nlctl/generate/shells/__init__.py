"""The completion scripts: commands, options and choices stand in them; only live values ask `nlctl __complete`."""
