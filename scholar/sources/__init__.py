"""Bibliographic services and formats, one file each, read into records of papers."""

from scholar.sources.record import Record, Skipped

__all__ = ["Record", "Skipped"]
