"""Hides the values of environment variables in everything that fitx writes."""

from fitx.redaction.redactor import forget, protect, publish, publish_folder, redact, redact_all

__all__ = ["forget", "protect", "publish", "publish_folder", "redact", "redact_all"]
