"""The training itself: batches, schedule, loss, stopping."""
