"""Shared by the API and the worker: tables, status transitions, queue, notifications."""
