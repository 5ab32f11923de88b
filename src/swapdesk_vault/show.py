"""The status of the vault in plain lines."""

from datetime import UTC, datetime

from swapdesk_vault.operator import Status


def show_status(told: Status) -> str:
    """The status as plain lines."""
    lines = [
        f"world      {told.world}",
        f"link key   {told.link_key}",
        f"running    {'yes' if told.running else 'no'} (fence {told.fence})",
    ]
    lines += [f"STOPPED    {_time(at_ms)}  {reason}" for at_ms, reason in told.stops]
    lines += [f"{name:<12} {count}" for name, count in told.counts.items()]
    for payment in told.live:
        where = "sent" if payment.sent_ms else "signed" if payment.signed_ms else "unsigned"
        what = f"{payment.units} units of {payment.asset}"
        trouble = f"  {payment.trouble}" if payment.trouble else ""
        lines.append(
            f"live  {payment.order_id} {payment.attempt}  {payment.kind} {what}  {where}{trouble}"
        )
    for alarm in told.alarms:
        who = f"{alarm.order_id} {alarm.attempt}  " if alarm.order_id else ""
        lines.append(f"alarm  {_time(alarm.at_ms)}  {who}{alarm.detail}")
    return "\n".join(lines)


def _time(at_ms: int) -> str:
    """UTC, to the second."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
