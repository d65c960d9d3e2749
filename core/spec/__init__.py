"""What a job is: the tree of its fields, presets, checks, the plan and the estimate. No torch."""
