"""What goes into a file or bundle beside the network: metadata, a program, the card."""
