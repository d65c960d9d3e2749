"""Events, the journal that keeps them, and the catalogue of metrics. No torch."""
