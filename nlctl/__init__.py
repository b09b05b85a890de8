"""The operator's command line: launch, look into, and explain a build cluster."""

VERSION = "0.1.0"
"""A constant: asking the installed distribution costs every command 40 ms. A test holds it to pyproject.toml."""
