"""Stage prepare: raw images and captions -> D_0, the prompts P and the record of M_0."""
