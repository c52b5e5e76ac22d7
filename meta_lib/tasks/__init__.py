"""What is learned from: families of tasks, each drawn from a seed."""
