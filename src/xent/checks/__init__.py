"""Mistakes with softmax and cross-entropy, found in a source (`lint`) and in a run (`inspect`, `watch`, `strict`)."""

from __future__ import annotations

from .finding import Finding as Finding
from .rules import RULES as RULES
from .rules import Rule as Rule
from .source import lint as lint
