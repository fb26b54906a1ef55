"""The command line: one function a command; it alone prints."""
