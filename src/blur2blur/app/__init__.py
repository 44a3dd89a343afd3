"""A local web page around the public functions, for people without a terminal (extra `app`)."""
