"""The one gradient loop and the four parts that an attack fills in."""
