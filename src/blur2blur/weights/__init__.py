"""Weight files: those that ship, by name; ours and other people's, read as numbers only."""
