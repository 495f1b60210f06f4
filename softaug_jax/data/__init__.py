"""Data: where the images come from, the host pipeline that draws for them, and their way to the devices.

Importing this package loads no TensorFlow; `sources`, `archives`, `info` and `prefetch` work where it is not installed.
"""
