"""Is everything what was recorded (verify), where does it come from (lineage), and how it is passed on (share)."""
