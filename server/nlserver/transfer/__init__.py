"""Blobs on their way between clients and stores: what the cache services share, below them and above the stores."""
