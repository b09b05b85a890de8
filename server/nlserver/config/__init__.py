"""JSON5 text to Specs: grammar, decoding, and every problem of a file at once with its place."""
