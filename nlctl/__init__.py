"""The operator's command line: launch, look into, and explain a build cluster."""
