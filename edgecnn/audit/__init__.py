"""Session folder -> live accuracy beside lab accuracy, and the gap split into causes."""
