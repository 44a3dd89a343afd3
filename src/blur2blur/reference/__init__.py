"""The commands of the published code: its options, its files, what becomes of them here."""
