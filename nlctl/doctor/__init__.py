"""Says what is wrong with a cluster, shows the evidence, and names the fix.

`check.py` says what a check is, `checks/` holds them: a new check is an entry of a file there. Each looks (`look`:
everything that waits) and then judges (`judge`: a pure function of what was seen). `examination.py` runs them so that
one cause gives one failure; `site.py` is what they look at.
"""
