"""From a plan to running members: what to start, with what, and how to watch it."""
