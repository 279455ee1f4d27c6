"""Names of parts: where each is defined, what it takes, how it is fetched."""
