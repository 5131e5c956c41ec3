"""Work is done by Kubernetes Jobs, which the web tier creates, watches by asking, and removes.

`jobs` builds manifests, `cluster` speaks with the API server, `answers` knows what it means,
`verdicts` says what a Job calls for, `reconcile` does it, and `executor` puts them together.
"""

from __future__ import annotations

from tasks.executors.kubernetes.executor import KubernetesExecutor, check_settings

__all__ = ["KubernetesExecutor", "check_settings"]
