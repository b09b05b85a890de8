"""How much goes into one message, and what clients are told of it. Clients take messages of up to 4 MiB by default."""

from __future__ import annotations

from typing import Final

MOST_BATCH_BYTES: Final = 3_500 << 10
"""The most bytes of blobs in one batch: with digests and statuses of some five thousand blobs it fits."""
MOST_RESULT_BYTES: Final = 3_500 << 10
"""The most bytes of an ActionResult."""
MOST_INLINE_BYTES: Final = 64 << 10
"""The most bytes of an output that are put into an ActionResult for clients that ask."""
MOST_DIRECTORY_BYTES: Final = (4 << 20) - (64 << 10)
"""The most bytes of a Directory that GetTree serves."""
MOST_PAGE_BYTES: Final = 1 << 20
"""GetTree closes a page before it grows past this, unless one Directory alone is larger."""
