"""What an engine needs to speak with a server that it does not trust."""
