"""Gestures in words: a mean hand feature fused into prompts, an adapter of the UNet (Hand1000, arXiv 2408.15461)."""
