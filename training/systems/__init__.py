"""One folder per system: its networks as tasks, samples, options and configurations."""
