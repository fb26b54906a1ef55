"""Fit a network: batches, schedule, loss, stopping, and several machines."""
