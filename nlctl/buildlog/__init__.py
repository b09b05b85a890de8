"""What a build left behind, read: its words, its calls, its profile, its actions, its events.

Laws: a reader is fed pieces of a file and keeps what `Gathered` has room for, whatever the size of the file; only
`opening.py` touches files. `causes.py` and `advice.py` decide, and are tables.
"""
