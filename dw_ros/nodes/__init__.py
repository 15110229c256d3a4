"""One file per node; each also runs as a process of its own: `python -m dw_ros.nodes.<name>`."""
