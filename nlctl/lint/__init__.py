"""Judging configs before anything runs: a rule says what is wrong, where, why it matters, and what to write instead.

Laws: rules are pure functions of a Scene (parsed files, and facts about disks that somebody else looked up); each has
one id that never changes its meaning, and a page `nlctl explain ID`; no rule knows another.
"""
