"""One recipe of judging for all systems: fixed held-out poses, judges behind one interface, one table."""
