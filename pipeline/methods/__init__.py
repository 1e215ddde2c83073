"""What a study compares and measures, one file each: guidance schedules, training-set policies, measures."""
