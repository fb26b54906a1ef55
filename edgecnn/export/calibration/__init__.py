"""The calibration images of an export: read, checked and compared."""
