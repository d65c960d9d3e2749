"""Events, the journal that stores them, and the catalogue of metrics. No torch."""
