"""What a run writes: its session, from a thread of its own."""
