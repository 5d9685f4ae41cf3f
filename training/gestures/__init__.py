"""Gestures in words, whatever system tells them (Hand1000, arXiv 2408.15461): mean feature, fusion, their files."""
