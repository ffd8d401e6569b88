"""The web page: live picture, readings, photos, the camera's switch. Start at sink.py; settings.py imports nothing."""
