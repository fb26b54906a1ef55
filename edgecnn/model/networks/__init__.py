"""Networks: the built-in one, well-known ones with their weights, the user's own."""
