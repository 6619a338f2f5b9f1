"""The three services' real use cases on real databases, with the world around them in memory and under control."""
