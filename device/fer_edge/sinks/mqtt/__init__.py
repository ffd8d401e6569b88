"""Readings over MQTT. Start at sink.py; settings.py imports nothing of it."""
