"""Images of rare classes from a generator, behind a gate."""
