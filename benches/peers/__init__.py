"""Ours beside its peers on a directory tree: tools, trees, steps, rounds, results, verdicts, page, plot."""
