"""Where and when the field is worse: parts of the frames, and changes from day to day."""
