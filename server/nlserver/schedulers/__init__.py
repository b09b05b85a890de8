"""The kinds of scheduler, one a file, named after the JSON5 tag."""
