"""What every wing needs and that knows nothing of a chain: files, errors, guards, numbers.

errors                 sentences for people
guards, weights        text, paths and model files made by others: what is refused
files, json_files, tensors, images   written whole, equal content as equal bytes
randomness, distances, spectrum      seeds and numerics that several wings share
machine, process, progress           cores and GPUs; child processes; a progress line
compat                 what torch's and torchvision's builds need beside each other
"""
