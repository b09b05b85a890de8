"""Everything that is written from the registry, the docstrings and the schemas, and kept in the repository.

Each room of this package answers with files; `python -m nlctl.generate` writes them, and a test compares.
"""
