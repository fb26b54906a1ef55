"""Who gets in: the address, the token, and what stands before the routes."""
