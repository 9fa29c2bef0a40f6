"""A question whose answer proves that Temporal and a worker of the teams work."""

from datetime import timedelta

from temporalio import workflow

ANSWER = "answer"
WITHIN = timedelta(seconds=30)


@workflow.defn
class ProbeWorkflow:
    @workflow.init
    def __init__(self) -> None:
        self._has_answered = False

    @workflow.run
    async def run(self) -> None:
        try:
            await workflow.wait_condition(lambda: self._has_answered, timeout=WITHIN, timeout_summary="the question")
        except TimeoutError:
            return

    @workflow.update(name=ANSWER, description="Answers: the engine is there.")
    def answer(self) -> None:
        self._has_answered = True
