"""Processes that begin at once: they are forked from a server that has imported everything."""

import multiprocessing

FORK_SERVER = multiprocessing.get_context("forkserver")
FORK_SERVER.set_forkserver_preload(["api.__main__", "api.app", "tests.workflows.crashing_worker"])
