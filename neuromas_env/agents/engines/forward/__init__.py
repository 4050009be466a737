"""The forward pass of many adapters at once: packing, prefixes, attention, decoding."""
