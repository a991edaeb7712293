"""What the user sees while the program works, and how he stops it."""
