"""What the documentation is made with: `make_reference` and `make_findings`. Nothing here is imported by the project."""
