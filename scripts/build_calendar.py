#!/usr/bin/env python3
"""Write the table of the New York Stock Exchange's sessions that the monthly rules use.

A calendar library imports pandas and costs a second at every start, so the table is generated and
ships. Run this in an environment of its own, once a year when the exchange has published another
year of holidays:

    python3 -m venv /tmp/calendar && /tmp/calendar/bin/pip install pandas_market_calendars
    /tmp/calendar/bin/python scripts/build_calendar.py
"""

from __future__ import annotations

import argparse
import json
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

TABLE = Path(__file__).parents[1] / "rules" / "paper_rules" / "nyse_calendar.json"

# Until the end of September 1952 the exchange opened on Saturdays as well, which most files leave
# out: older bars do not tell reliably which of them was a month's last session.
FIRST_DAY = date(1952, 10, 1)
SATURDAY = 5


def build_table(last_day: date) -> dict[str, object]:
    """Return the table from `FIRST_DAY` to `last_day`, as it is written."""
    import pandas_market_calendars

    calendar = pandas_market_calendars.get_calendar("NYSE")
    sessions = {stamp.date() for stamp in calendar.valid_days(FIRST_DAY, last_day)}
    n_days = (last_day - FIRST_DAY).days + 1
    days = [FIRST_DAY + timedelta(days=i) for i in range(n_days)]
    odd = [day for day in days if day.weekday() >= SATURDAY and day in sessions]
    if odd:
        raise SystemExit(f"sessions on a weekend ({odd[0]}, ...): the table cannot hold them")
    closures: dict[str, list[str]] = {}
    for day in days:
        if day.weekday() < SATURDAY and day not in sessions:
            closures.setdefault(str(day.year), []).append(f"{day:%m-%d}")
    return {
        "exchange": "New York Stock Exchange",
        "source": f"pandas_market_calendars {version('pandas_market_calendars')}, NYSE",
        "first": FIRST_DAY.isoformat(),
        "last": last_day.isoformat(),
        "closed_weekdays": closures,
    }


def render_table(table: dict[str, object]) -> str:
    """Return the table as JSON with one year to a line, so that a new year is one line of diff."""
    closures = table["closed_weekdays"]
    assert isinstance(closures, dict)  # noqa: S101  # narrows the type
    years = ",\n".join(f'    "{year}": {json.dumps(days)}' for year, days in closures.items())
    head = "\n".join(
        f"  {json.dumps(name)}: {json.dumps(value)},"
        for name, value in table.items()
        if name != "closed_weekdays"
    )
    return f'{{\n{head}\n  "closed_weekdays": {{\n{years}\n  }}\n}}\n'


def main() -> None:
    """Write the table; its last year is the last one that the exchange has published."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--last-year",
        type=int,
        default=date.today().year + 2,
        help="default: two years from now, as far as the exchange publishes its holidays",
    )
    args = parser.parse_args()
    table = build_table(date(args.last_year, 12, 31))
    TABLE.write_text(render_table(table))
    closures = table["closed_weekdays"]
    assert isinstance(closures, dict)  # noqa: S101  # narrows the type
    n_closed = sum(len(days) for days in closures.values())
    print(f"{TABLE.name}: {table['first']} to {table['last']}, closed on {n_closed} weekdays")


if __name__ == "__main__":
    main()
