"""What a converter really wrote, read from its file."""
