"""What is counted of a batch, compiled."""
