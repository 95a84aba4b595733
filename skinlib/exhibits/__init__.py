"""From tables to exhibits: score rows, judge changes, join the published numbers, write."""
