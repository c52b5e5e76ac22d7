"""What learning to learn has to beat: hand-made update rules, and an ordinary classifier."""
