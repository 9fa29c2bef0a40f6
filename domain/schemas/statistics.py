"""The public JSON of statistics: what became of what began on a day."""

from datetime import date

from domain.types import Moment, Schema, TotalMoney


class DayStatistics(Schema):
    """One day (UTC) of one mall or of all. Teams count on the day they were opened, orders on that of their seat, and so on."""

    day: date
    source: str | None
    """null: all malls"""
    quotes: int
    """prices that buyers were told on this day"""
    teams_opened: int
    teams_completed: int
    """of those opened on this day"""
    teams_failed: int
    """of those opened on this day"""
    seats_locked: int
    seats_paid: int
    """of the seats taken on this day"""
    seats_completed: int
    """of the seats taken on this day: paid members of completed teams"""
    seats_lapsed: int
    """of the seats taken on this day: cancelled unpaid"""
    amount_paid: TotalMoney
    """of the seats taken on this day that were paid"""
    discount: TotalMoney
    """given to these"""
    refunds_unpaid: int
    refunds_paid_unformed: int
    refunds_paid_formed: int
    refunds_unsettled: int
    """refunds requested on this day, by kind"""
    amount_refunded: TotalMoney
    """by the refunds of this day that are done"""
    form_seconds_median: float | None
    form_seconds_p90: float | None
    """from a team's opening to its completion"""
    callback_attempts: int
    """to deliver events of this day; those that did not succeed are these less the delivered"""
    callbacks_delivered: int
    callbacks_dead: int
    """given up"""
    callback_seconds_median: float | None
    callback_seconds_p90: float | None
    """from an event of this day to its delivery"""
    counted_at: Moment


class Statistics(Schema):
    """Days, the latest first."""

    data: list[DayStatistics]
