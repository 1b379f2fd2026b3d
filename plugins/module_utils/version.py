# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of the collection, as manifests record it; galaxy.yml says the same."""

from __future__ import annotations

COLLECTION_VERSION = "0.1.0"
