"""The `neuromas` command; nothing else prints or imports typer."""
