"""Events, their journal, and the catalogue of metrics. The package does not import torch."""
