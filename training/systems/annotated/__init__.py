"""Annotated hands: pictures learnt together with what names their bones (Annotated Hands, arXiv 2401.15075)."""
