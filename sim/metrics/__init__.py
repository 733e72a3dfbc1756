"""What happened, in numbers: latencies, locks, batches, and a digest of it all, in constant memory."""
