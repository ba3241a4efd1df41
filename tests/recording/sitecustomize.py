"""Python reads this at the start of each process that finds it on its path."""

import recorder  # type: ignore[import-not-found]

recorder.watch_when_imported()
