"""The parts of the filesystem store: where files stand, who used them, what they count for, and which go."""
