"""Kinds of runners, one a file."""
