"""What a chain starts from: base models, raw data sets, captions, drawn creatures.

base_models/   bring, check and record M_0; hub: the hub's errors, for models and data sets
datasets/      raw sets in the layouts in which people get them
captions/      captions from parts: BLIP, WD tags, people's own
raw_folder     a folder of images and captions, read for D_0
creatures      the built-in data set: attributes and captions; creature_drawing renders them
missing        what to do about an input that is not there
"""
