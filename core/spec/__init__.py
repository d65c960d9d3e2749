"""Job specs: fields, presets, validation, training plan and estimate. Does not import torch."""
