"""A run as a systemd service: it starts with the board and is started again when it fails."""
