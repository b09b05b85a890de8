"""Protobuf messages: sources, generated modules, and the script that generates them."""
