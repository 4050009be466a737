"""AgentNet: agents that pass on, split or solve, with memories."""
