"""What `make bench` measures: steps a second, the start of a run, and a whole quick study."""
