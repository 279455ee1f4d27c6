"""Parts by kind and name: where each is defined, its signature, and how it is imported."""
