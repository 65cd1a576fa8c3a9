"""What an experiment is made of: a file per kind of stage, and the plan."""
