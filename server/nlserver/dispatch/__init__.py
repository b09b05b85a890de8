"""The dispatch machine: which worker runs what, decided by pure code. See `state`."""
