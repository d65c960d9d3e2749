"""The contract between the web and the worker: job rows, states, queue and doorbell."""
