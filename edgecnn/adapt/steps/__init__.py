"""Steps of `adapt` that change what the network sees."""
