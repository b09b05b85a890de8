"""The Docker Engine: what we ask of it and what it says."""
