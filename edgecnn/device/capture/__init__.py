"""Sources of frames: cameras, streams, videos and images, all behind `open_source`."""
