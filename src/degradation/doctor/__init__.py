"""One page on this machine: what would stop a study here, and what to do about it."""
