"""What the documentation is made with: `make_reference` and `make_findings`. The project imports nothing of it."""
