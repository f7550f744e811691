"""A sweep as it stands, from what its runs write: for the live view and `make status`."""
