"""Training at scale: a model folder and shards in, a better model folder out."""
