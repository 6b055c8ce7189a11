"""What the frame itself tells: its detections and the width of its stars."""
