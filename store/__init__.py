"""Bi-temporal, event-sourced records on PostgreSQL: schema governance, state machines and row-level security."""
