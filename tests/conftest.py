"""Property tests draw the same examples on every run, so that a run that was green stays green.

HYPOTHESIS_PROFILE=default draws new ones, to look for what nobody has met yet.
"""

import os

from hypothesis import settings

settings.register_profile("steady", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
