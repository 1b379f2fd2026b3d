"""Settings of Sphinx for `make site`."""

project = "vya.backupdb"
author = "The vya.backupdb authors"
project_copyright = "2026, the vya.backupdb authors"
html_title = "vya.backupdb"
html_show_sourcelink = False
extensions = ["myst_parser"]
include_patterns = ["index.md", "README.md", "docs/*.md", "roles/*/README.md", "reference/*.rst"]
myst_heading_anchors = 4
suppress_warnings = ["myst.xref_missing_download", "misc.highlighting_failure"]
nitpicky = True
linkcheck_ignore = [
    r"https://github\.com/vya/backupdb",
    r"https://galaxy\.ansible\.com",
    r"https://docs\.ansible\.com",
]
