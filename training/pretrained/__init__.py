"""Checkpoints as they lie on users' disks, read into the package's own models."""
