"""What a swap costs: parameters, operations, memory and time of every system that the paper compares."""
