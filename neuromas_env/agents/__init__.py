"""What sits at the nodes and what trains it: policies, prompts, engines, learners, runs."""
