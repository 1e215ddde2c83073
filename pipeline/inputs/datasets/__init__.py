"""Data sets as people get them: a raw folder in the owner's own layout -> one list of images, and of what is wrong with them.

    layouts/       pokemon, celeba, kumapi, butterfly, folder: raw folder -> items (name, file, title, species, ...), problems
    catalogue      which sets there are, where they come from, which layout reads them
    selection      opens every image: broken files and copies are listed; N of them by a seed
    images         one file -> RGB; square by crop, pad or squash
    caption_files  the .txt beside an image -> a caption, or why it is none
    hub, tables    a data set of the hub, by id or as a folder -> images with captions beside them

No image that is wrong stops the rest; `captions` writes what is left as the folder that `dataset: folder` reads.
"""
