"""What trains and asks the arms of a study: language models or tables."""
