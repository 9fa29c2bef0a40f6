"""Events: each is told, once by its id, in an order that ends with the truth."""

from tests.soak.rules.facts import Facts, Tally, named

NEWS = {"team.failed"}
"""names orders, and says nothing of their money: it may come after what does"""
LAST: dict[str, set[str]] = {
    "paid": {"team.completed", "order.refund_requested"},
    "refunded": {"order.refunded"},
    "cancelled": {"order.cancelled"},
}
"""which event has the last word about an order that ended so; a vetoed question leaves it paid"""


def an_event_is_one_by_its_id(facts: Facts, tally: Tally) -> None:
    """However often it comes, an event says the same under its id; and none comes that is not in the books."""
    for event_id, callbacks in facts.received.items():
        event = facts.events.get(event_id)
        contents = {(each.type, each.sequence, repr(sorted(each.data.items()))) for each in callbacks}
        true = event and (event.type, event.sequence, repr(sorted(event.data.items())))
        tally.check(contents == {true}, f"{event_id} was told as {contents}, and is {true}")


def every_event_is_told(facts: Facts, tally: Tally) -> None:
    """Every event has reached the mall, but a question that was answered otherwise, or what an operator told it by hand."""
    questions = {refund.question for refund in facts.rows.refunds if refund.answer is not None}
    by_hand = {operation.subject for operation in facts.of("refund_close_manually")}
    for event in facts.rows.events:
        is_excused = event.event_id in questions or by_hand.intersection(named(event))
        tally.check(event.event_id in facts.received or is_excused, f"{event.type} {event.event_id} never came")


def deliveries_are_what_happened(facts: Facts, tally: Tally) -> None:
    """A delivery that is noted as delivered was taken by the mall, over HTTP or RabbitMQ as it is noted."""
    taken = {(each.event_id, each.way) for each in facts.history.callbacks if each.answered in {200, 409}}
    for delivery in facts.rows.deliveries:
        if delivery.status == "delivered":
            is_taken = (delivery.event_id, delivery.kind) in taken
            tally.check(is_taken, f"{delivery.event_id} is noted as delivered ({delivery.kind}), and the mall has not taken it")


def sequences_have_no_gaps(facts: Facts, tally: Tally) -> None:
    """The mall's events are numbered 1, 2, 3 …, and the feed shows just these."""
    numbered = sorted((event.sequence or 0, event.event_id) for event in facts.rows.events)
    for position, (sequence, event_id) in enumerate(numbered, 1):
        tally.check(sequence == position, f"event {event_id} has sequence {sequence} in place {position}")
    tally.check(list(facts.rows.feed) == numbered, "the feed shows other events than there are")


def the_last_event_tells_the_truth(facts: Facts, tally: Tally) -> None:
    """Of all events that name an order, the one with the highest sequence says what became of it."""
    for order in facts.rows.orders:
        events = [event.type for event in facts.events_of.get(order.out_trade_no, []) if event.type not in NEWS]
        if order.status in LAST:
            tally.check(events and events[-1] in LAST[order.status], f"{order.out_trade_no} is {order.status} after {events}")


def every_callback_is_signed(facts: Facts, tally: Tally) -> None:
    """The mall found a callback's signature wrong only while its own clock was."""
    for callback in facts.history.callbacks:
        tally.check(callback.is_signed or callback.clock_step, f"{callback.event_id} was not well signed at {callback.at:.2f}")


def a_gone_mall_is_told_again(facts: Facts, tally: Tally) -> None:
    """What the mall refused for good was sent again, and taken."""
    for event_id, callbacks in facts.received.items():
        if any(each.answered == 410 for each in callbacks):
            is_taken = any(each.answered in {200, 409} for each in callbacks)
            refund_is_over = event_id in {refund.question for refund in facts.rows.refunds if refund.answer}
            by_hand = any(facts.of("refund_close_manually", number) for number in named(facts.events[event_id]))
            tally.check(is_taken or refund_is_over or by_hand, f"{event_id} was answered 410, and never taken afterwards")


RULES = (
    an_event_is_one_by_its_id,
    every_event_is_told,
    deliveries_are_what_happened,
    sequences_have_no_gaps,
    the_last_event_tells_the_truth,
    every_callback_is_signed,
    a_gone_mall_is_told_again,
)
