"""What parts of the texture stage are worth: `python -m benchmarks.ablations`."""
