"""What other programs get of a run: JSON lines, metrics, MQTT and webhooks; none can slow it."""
