"""From crystals to electronic band structures, without torch.

Everything public is reached from here, and imported only when asked for.
"""

from __future__ import annotations

__version__ = "0.1.0"
