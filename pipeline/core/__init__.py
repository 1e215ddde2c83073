"""What every wing needs and that knows nothing of a chain: files, errors, guards, numbers.

errors, guards         sentences for people; what a file made by others could smuggle in
files, json_files, tensors, images   written whole, equal content as equal bytes
randomness, distances, spectrum      seeds and numerics that several wings share
machine, process, progress           cores and GPUs; child processes; a progress line
compat                 what torch's and torchvision's builds need beside each other
"""
