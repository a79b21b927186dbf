"""The command `kubectl-modelrollout`, which kubectl runs as `kubectl modelrollout`."""
