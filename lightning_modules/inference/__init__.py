"""What a trained model makes of what it is given, for people to look at."""
