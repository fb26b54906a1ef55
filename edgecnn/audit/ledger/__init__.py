"""From lab accuracy to live accuracy, one step a cause."""
