"""Many images: plans, processes, journals, batches, and folders that are watched."""
