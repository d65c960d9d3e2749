"""What holds for all tests."""

from hypothesis import settings

# The same examples at every run: a run that fails by chance tells nobody what they broke. To search
# for new ones: pytest --hypothesis-profile=default.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")
