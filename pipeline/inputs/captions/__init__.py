"""Captions from parts: what BLIP says, what the WD tagger says, what the owner says, composed by a rule (A.2, Table 2).

stage            raw folder -> images, parts.jsonl, captions; caption_job: its settings and its result
missing_parts    what the models have to say that is not there yet
output_folder    writes images and captions, keeps those that people wrote and none of another prompt set
blip, tagger     images -> sentences of a length window; images -> tags with scores
parts            parts.jsonl; overrides: corrections by hand, from a CSV file
rules            which parts, in which order, for which data set and prompt set (C.4)
compose          parts, a rule -> a caption
proof_sheet      a page to proof-read: image, caption, tokens
"""
