"""The kinds of store, one a file, named after the JSON5 tag."""
