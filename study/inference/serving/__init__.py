"""The served model: what runs in the server, and how it is logged."""
