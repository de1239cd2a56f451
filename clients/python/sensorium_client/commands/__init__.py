"""One module for each command of ``sensorium``."""
