"""The report to explore in a browser: one file of HTML that needs no network.

Python's numbers are the truth: contributions, salient channels, statistics and bookmarks are computed here and carried
along. What changes under the reader's hands (the offsets at other thresholds) is recomputed in the page from codes that
make its comparisons exactly Python's, and the page checks itself against Python's own counts when it opens.
"""

from maze_introspection.explore.collect import TrialSet, collect
from maze_introspection.explore.page import write_page

__all__ = ['TrialSet', 'collect', 'write_page']
