"""The worker: takes orders from a scheduler, lays out inputs, runs, collects outputs."""
