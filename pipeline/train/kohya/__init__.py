"""The adapter to kohya's sd-scripts: nothing of its shape leaves this folder."""
