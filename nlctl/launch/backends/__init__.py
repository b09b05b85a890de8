"""The ways to run members, one file each."""
