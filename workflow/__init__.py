"""Durable workflows: functions whose steps survive a crash."""
