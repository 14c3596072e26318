"""The single gradient loop, and the four parts that define an attack."""
