"""The gRPC services, one a file: thin translators that know interfaces and no kinds."""
