"""Everything that docs/performance.md says, in one command: python -m benchmarks.paper_scale [--device cuda|cpu] [--quick]."""
