"""Reuse: predictions of several learnwares, combined at the user's side."""

from __future__ import annotations

from learndock.reuse._expected import ExpectedAccuracy
from learndock.reuse.averaging import AveragingReuser
from learndock.reuse.job_selector import JobSelectorReuser
from learndock.reuse.local_competence import LocalCompetence

__all__ = ["AveragingReuser", "ExpectedAccuracy", "JobSelectorReuser", "LocalCompetence"]
