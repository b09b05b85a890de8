"""Bundles for those who help: what goes in, what is taken out of it, and reading one again."""
