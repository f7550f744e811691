"""A study as a whole: which runs it has, how far they are, making what is missing, publishing."""
