"""Captions from parts: what BLIP says, what the WD tagger says, what the owner says, put together by a rule (A.2, Table 2).

stage       raw folder -> pictures, parts.jsonl, captions; asks the models only for parts that are not there yet
owners      which captions people wrote: these stay
placing     pictures and people's captions -> the folder
ask         the parts that are missing, of the models
writing     captions -> the folder, which keeps none of another prompt set
blip        pictures -> sentences of a length window
tagger      pictures -> tags with scores
rules       which parts, in which order, for which data set and prompt set (C.4)
combine     one row of parts, a rule -> one caption
overrides   corrections by hand, from a CSV file
sheet       a page to proof-read: picture, caption, tokens
"""
