"""What a run leaves: its place, the files in it, and the way to open them again."""

from fedray.results.place import Place, new_place, results_root, resumable

__all__ = ["Place", "new_place", "results_root", "resumable"]
