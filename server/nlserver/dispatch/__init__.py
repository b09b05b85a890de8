"""Which action runs on which worker, when, and why not: a pure machine of values.

Laws: events in, effects out (`state.State.handle`); no I/O, no randomness, no clock; `now` is an argument, in seconds
that never jump. Ids come from outside. The same events at the same times make the same effects.
"""
