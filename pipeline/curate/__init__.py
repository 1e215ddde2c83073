"""Stage curate: choose T_k, the images that M_k is finetuned on, as a list of files (policies: pipeline/methods)."""
