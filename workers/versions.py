"""The version of a worker, by which Temporal decides which workers get a workflow's tasks."""

from collections.abc import Mapping

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

NAME, BUILD = "TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_WORKER_BUILD_ID"
"""as Temporal's controller for Kubernetes sets them"""


class IncompleteVersion(Exception):
    """One of the two variables is set without the other."""


def deployment_of(environment: Mapping[str, str]) -> WorkerDeploymentConfig | None:
    """Returns the version that the environment names; None: the worker has none, and takes every task.

    Raises:
        IncompleteVersion: half of it is missing.
    """
    name, build = environment.get(NAME, ""), environment.get(BUILD, "")
    if not name and not build:
        return None
    if not name or not build:
        raise IncompleteVersion(f"{NAME} and {BUILD} are set together, or not at all")
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name=name, build_id=build),
        use_worker_versioning=True,
        # A team may live for two years, and no task may wait for workers that were taken away (docs/decisions/0017).
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )
