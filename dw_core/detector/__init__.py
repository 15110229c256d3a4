"""The errors of a 2D network without images: what they are, how they are drawn, how they were measured."""
