"""Subcommands of `dw` that need ROS."""
