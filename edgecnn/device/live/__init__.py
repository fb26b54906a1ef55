"""What is known while a run goes on: the truth of a frame, the counts."""
