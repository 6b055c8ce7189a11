"""What knows nothing of astronomy: arguments, the machine, limits, signals, messages."""
