"""The report page: one HTML file a study that opens from a disk without a network, and an index."""
