"""Bag -> Recording and back, without ROS."""

from maze_introspection.bag.encode import write_recording
from maze_introspection.bag.reader import images, read_images, read_recording
from maze_introspection.bag.writer import BagError, BagWriter

__all__ = ['BagError', 'BagWriter', 'images', 'read_images', 'read_recording', 'write_recording']
