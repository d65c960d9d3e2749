"""The contract between the web and the worker: rows, states, queue, doorbell."""
