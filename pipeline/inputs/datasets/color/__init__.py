"""What an image's numbers mean as colours, and the way to sRGB; `pipeline/inputs/datasets/images.py` opens images by it.

png_chunks    a PNG's own words (cICP, iCCP, sRGB, gAMA, cHRM), and its bytes without text that Pillow stumbles over
bmp_header    the colour space in a BMP's header
said          the file's profile or colour space, or None where it says nothing or sRGB
spaces        colour spaces by primaries and curve -> ICC profiles
to_srgb       the conversion, by LittleCMS
"""
