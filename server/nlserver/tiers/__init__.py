"""The parts of the fast_slow store: one stream for two takers, and values on their way between two tiers."""
