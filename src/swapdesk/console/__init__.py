"""The operator's commands: one sub-command is one engine call."""
