"""Data sets as people get them: a raw folder in the owner's own layout -> one list of images, and of what is wrong with them.

    image_folder        images of one's own in any layout -> pictures with captions; for the chain, check, fetch and caption
    folder_contents     what is an image, a caption, a table, litter, or a mistake
    caption_files       the .txt or .caption beside an image; caption_tables: metadata.csv and its kin
    sd_scripts_folders  10_name folders, regularisation images; splits: train, test, ... by folder
    layouts/            pokemon, celeba, kumapi, butterfly, own: raw folder -> items (name, file, title, ...), problems
    catalogue           which sets there are, where they come from, which layout reads them
    selection           opens every image: broken files and copies are listed; N of them by a seed
    images              one file -> RGB; color/: its colours -> sRGB; square by crop, pad or squash
    hub, tables         a data set of the hub, by id or as a folder -> images with captions beside them
    csv_tables          CSV as people write it; items: what all of these give

No image that is wrong stops the rest; `captions` writes what is left as the folder that `dataset: folder` reads.
"""
