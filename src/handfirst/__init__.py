"""Human pictures with hands that are right: hands first, then the body."""
