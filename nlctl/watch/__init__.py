"""Watching a cluster: what is gathered, what is made of it over time, how it is drawn and named."""
