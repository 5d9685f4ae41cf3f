"""The two-stage system: a hand generator, then a body painted around its hands (the paper, arXiv 2403.10731)."""
