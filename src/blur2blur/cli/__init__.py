"""The `blur2blur` command: one file per verb."""
