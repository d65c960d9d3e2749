"""What the API and the worker share: tables, state transitions, queue, notifications."""
