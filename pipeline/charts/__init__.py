"""Draw as inline SVG, equal input giving equal text; and the statistics behind the drawings."""
