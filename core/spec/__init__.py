"""Job specs: fields, presets, validation, the training plan and the estimate. No torch."""
