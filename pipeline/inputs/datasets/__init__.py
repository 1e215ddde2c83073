"""Data sets as people get them: a raw folder in the owner's own layout -> one list of pictures, and of what is wrong with them.

    layouts/    pokemon, celeba, kumapi, butterfly, folder: raw folder -> items (name, file, title, species, ...), problems
    catalogue   which sets there are, where they come from, which layout reads them
    select      opens every picture: broken files and copies are listed; N of them by a seed
    pictures    one file -> RGB; square by crop, pad or squash
    texts       the .txt beside a picture -> a caption, or why it is none
    hub, tables a data set of the hub, by id or as a folder -> pictures with captions beside them
    chain       raw folder -> captions, D_0 and P in one go

No picture that is wrong stops the rest; `captions` writes what is left as the folder that `dataset: folder` reads.
"""
