"""The embedded models from nothing: render, train five phases, write a model folder."""
