"""Cameras without OpenGL: ray-cast depth images, point clouds, their imperfections, and pictures for people."""
