"""Data sets on disk, in the layouts in which they are published, read into records. One file per data set."""
