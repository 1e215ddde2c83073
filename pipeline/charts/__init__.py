"""Draw as inline SVG, equal input giving equal text; and the statistics behind the drawings.

svg.py             frame, scales, ticks, axes, <svg>
  lines.py         series over k with bands and error bars
  points.py        single points, labels, a Pareto front
    svg_file.py    either as an .svg file of its own, with panels and a key
heatmap.py, thumbnails.py   arrays and images as data URIs
html.py            the page around them
colours.py, numbers.py, statistics.py, embedding.py
"""
