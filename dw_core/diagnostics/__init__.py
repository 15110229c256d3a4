"""What the nodes say of themselves once a second. The names of the values are in docs/diagnostics.md."""
