"""The pictures of the page: the heat map of hours, and the refusals of each day. Both show their numbers as text."""

import datetime

from page_values import WEEKDAYS, is_count, many, safe

DAYS = 120  # Days in the picture of refusals: the newest ones.
STRIPS = 11  # Reasons with a strip of their own.
BANDS = 7


def short(count):
    """The count in at most six characters."""
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= max(size, 10**5):
            return f"{count / size:.1f}{unit}" if size > 10**3 and count < 100 * size else f"{count // size:,}{unit}"
    return f"{count:,}"


def office(parameters):
    """The weekdays and hours of the office that the parameters name. None if they do not."""
    pairs = [parameters.get(name) for name in ("office_days", "office_hours")]
    if not all(
        isinstance(pair, list) and len(pair) == 2 and all(map(is_count, pair)) and max(pair) <= 24 for pair in pairs
    ):
        return None
    days, hours = pairs
    return range(days[0], days[1] + 1), range(hours[0], hours[1])


def heat_map(result, parameters, zone, complete):
    """The table of weekdays and hours."""
    place = {name: result.names.index(name) for name in ("weekday", "hour", "logins") if name in result.names}
    if len(place) < 3:
        return '<p class="none">Not known. The result does not have the columns weekday, hour and logins.</p>'
    cells, odd = {}, 0
    for row in result.rows:
        weekday, hour, logins = (row[place[name]] for name in ("weekday", "hour", "logins"))
        fits = is_count(weekday) and 1 <= weekday <= 7 and is_count(hour) and hour < 24
        if not fits or (weekday, hour) in cells or not (logins is None or is_count(logins)):
            odd += 1
        else:
            cells[weekday, hour] = logins
    most = max([logins for logins in cells.values() if logins], default=0)
    width = max(1, -(-most // BANDS))
    at_work = office(parameters)

    def cell(weekday, hour):
        logins = cells.get((weekday, hour), 0)
        kinds = ["office"] if at_work and weekday in at_work[0] and hour in at_work[1] else []
        if logins:
            kinds.append(f"s{(logins - 1) // width + 1}")
            shown = f'<data value="{logins}">{short(logins)}</data>'
        else:
            shown = "?" if logins is None else "0" if complete else "·"
        return f'<td role="cell" class="{" ".join(kinds)}">{shown}</td>'

    lines = [
        '<div class="picture"><div class="scroll" role="region" aria-labelledby="hours-title" tabindex="0">',
        '<table class="heat" role="table">',
        f"<caption>Logins that began in each hour. The hours are those of {safe(zone)}.</caption>",
        '<thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">hour</th>',
    ]
    lines += [f'<th scope="col" role="columnheader">{hour}</th>' for hour in range(24)]
    lines.append('</tr></thead>\n<tbody role="rowgroup">')
    for weekday, name in enumerate(WEEKDAYS, 1):
        lines.append(
            f'<tr role="row"><th scope="row" role="rowheader">{name}</th>'
            + "".join(cell(weekday, hour) for hour in range(24))
            + "</tr>"
        )
    lines.append("</tbody></table></div>")
    bands = [(1 + width * band, min(most, width * (band + 1))) for band in range(BANDS) if width * band < most]
    legend = [
        f'<li class="s{band}">{low:,}{f"–{high:,}" if high > low else ""}</li>'
        for band, (low, high) in enumerate(bands, 1)
    ]
    if not complete:
        legend.append("<li>· none seen in what was read</li>")
    if None in cells.values():
        legend.append("<li>? not known</li>")
    if at_work:
        legend.append('<li class="office">border: office hours</li>')
    lines.append(f'<ul class="legend" aria-label="Legend: logins in one hour">{"".join(legend)}</ul></div>')
    if most >= 10**5:
        lines.append('<p class="note">k is thousand, M is million, rounded.</p>')
    if odd:
        lines.append(
            f'<p class="note">{many(odd, "row")} of the result not drawn: no weekday and hour, or a second one.</p>'
        )
    return "\n".join(lines)


def date(given):
    """The day of a text or an instant."""
    try:
        return datetime.date.fromisoformat(given[:10]) if isinstance(given, str) else None
    except ValueError:
        return None


def strip(name, counts, days, kind):
    """A figure with one bar for each day."""
    known = {day: count for day, count in counts.items() if count is not None}
    most = max(known.values(), default=0)
    top = next((day for day in days if most and known.get(day) == most), None)
    bars = []
    for place, day in enumerate(days):
        if day in counts and counts[day] is None:
            shape, said, mark = (0, 100), "not known", ' class="unknown"'
        elif counts.get(day):
            height = max(2, round(100 * counts[day] / most))
            shape, said, mark = (100 - height, height), f"{counts[day]:,}", ""
        else:
            continue
        bars.append(
            f'<rect{mark} x="{place * 10 + 1}" y="{shape[0]}" width="8" height="{shape[1]}">'
            f"<title>{day}: {said}</title></rect>"
        )
    missing = len(counts) - len(known)
    says = f"{sum(known.values()):,} in all" + (f"; the most on {top}: {most:,}" if top else "")
    says += f"; {many(missing, 'day')} not known" if missing else ""
    return (
        f'<figure class="{kind}"><figcaption><strong><bdi>{name}</bdi></strong><br>{says}</figcaption>'
        f'<svg role="img" aria-label="{name}, by day: {says}" viewBox="0 0 {len(days) * 10} 100"'
        f' preserveAspectRatio="none">{"".join(bars)}</svg>'
        f'<div class="axis" aria-hidden="true"><span>{days[0]}</span><span>{days[-1]}</span></div></figure>'
    )


def refusals(result, period, complete):
    """One strip for all refusals, and one for each of the most frequent reasons. Each has a scale of its own."""
    place = {name: result.names.index(name) for name in ("day", "reason", "count") if name in result.names}
    if len(place) < 3:
        return '<p class="none">Not known. The result does not have the columns day, reason and count.</p>'
    reasons, odd = {}, 0
    for row in result.rows:
        day, reason, count = date(row[place["day"]]), row[place["reason"]], row[place["count"]]
        outside = day and (period[0] and (period[0] - day).days > 1 or period[1] and (day - period[1]).days > 1)
        if day is None or outside or not (count is None or is_count(count)):
            odd += 1
            continue
        of_reason = reasons.setdefault("reason not named" if reason is None else str(reason), {})
        earlier = of_reason.get(day, 0)
        of_reason[day] = None if count is None or earlier is None else earlier + count
    seen = [day for counts in reasons.values() for day in counts]
    left_out = f"{many(odd, 'row')} of the result not drawn: no day of the period, or no count."
    if not seen:
        return f'<p class="note">{left_out}</p>'
    first, last = (pick(seen + [day for day in period if day]) for pick in (min, max))
    days = [last - datetime.timedelta(days=number) for number in range(min(DAYS, (last - first).days + 1))][::-1]
    first = days[0]

    def added(several):
        sums = {}
        for counts in several:
            for day, count in counts.items():
                if day >= first:
                    sums[day] = None if count is None or sums.get(day, 0) is None else sums.get(day, 0) + count
        return sums

    order = sorted(reasons, key=lambda name: (-sum(count or 0 for count in added([reasons[name]]).values()), name))
    own = order if len(order) <= STRIPS + 1 else order[:STRIPS]
    figures = [strip("all reasons", added(reasons.values()), days, "wide")]
    figures += [strip(safe(name), added([reasons[name]]), days, "own") for name in own]
    if len(own) < len(order):
        figures.append(
            strip(
                f"{len(order) - len(own)} other reasons",
                added(reasons[name] for name in order[len(own) :]),
                days,
                "own",
            )
        )
    none = "none" if complete else "none seen in what was read"
    notes = [f"No bar: {none} that day. Each picture has its own scale: the highest bar is the day with the most."]
    if min(seen) < first:
        notes.append(f"The pictures have the last {DAYS} days. Earlier days are in the table.")
    if odd:
        notes.append(left_out)
    return f'<p class="note">{" ".join(notes)}</p><div class="strips">' + "\n".join(figures) + "</div>"
