"""The sessions that are audited, and whether their files can be trusted."""
