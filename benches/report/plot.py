"""Charts of lines as SVG files, light or dark as whoever looks at them likes it."""
import html
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 340, 64, 18, 34, 50
LIGHT, DARK = ["#2364aa", "#d1495b", "#3f8f5b", "#b7791f"], ["#6aa9ea", "#ec7a88", "#6fc48c", "#e0ab55"]
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#5d6675}.grid{stroke:#d9dee6}.axis{stroke:#5d6675}.ground{fill:#fff}.mark{stroke:#5d6675;stroke-dasharray:5 4}"
    + "".join(f".s{place}{{stroke:{colour};fill:none;stroke-width:1.8}}.k{place}{{fill:{colour}}}" for place, colour in enumerate(LIGHT))
    + "@media (prefers-color-scheme:dark){text{fill:#9aa4b2}.grid{stroke:#343b47}.ground{fill:#14181f}"
    + "".join(f".s{place}{{stroke:{colour}}}.k{place}{{fill:{colour}}}" for place, colour in enumerate(DARK)) + "}"
)


def round_step(least):
    power = 10 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * 0.999999)


def axis(most):
    step = round_step(max(most, 1e-9) / 5)
    count = math.ceil(most / step - 1e-9)
    return [mark * step for mark in range(count + 1)]


def lines(path, series, x_label, y_label, mark=None):
    """`series`: (name, [(x, y or None), …]) …; `mark`: (name, y), a line across."""
    points = [point for _, line in series for point in line if point[1] is not None]
    xs, ys = axis(max((x for x, _ in points), default=1)), axis(max([y for _, y in points] + ([mark[1]] if mark else []) or [1]))
    x = lambda value: LEFT + value / xs[-1] * (WIDTH - LEFT - RIGHT)
    y = lambda value: HEIGHT - BOTTOM - value / ys[-1] * (HEIGHT - TOP - BOTTOM)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><style>{STYLE}</style><rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>']
    for value in ys:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/><text text-anchor="end" x="{LEFT - 7}" y="{y(value) + 4:.1f}">{value:g}</text>')
    for value in xs:
        parts.append(f'<text text-anchor="middle" x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 18}">{value:g}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
    parts.append(f'<text text-anchor="middle" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}">{html.escape(x_label)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text text-anchor="middle" transform="rotate(-90 15 {middle})" x="15" y="{middle}">{html.escape(y_label)}</text>')
    if mark:
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(mark[1]):.1f}" y2="{y(mark[1]):.1f}"/><text text-anchor="end" x="{WIDTH - RIGHT - 4}" y="{y(mark[1]) - 5:.1f}">{html.escape(mark[0])}</text>')
    left = LEFT
    for place, (name, line) in enumerate(series):
        path_data, pen = "", "M"
        for at, value in line:
            if value is None:
                pen = "M"
                continue
            path_data += f"{pen}{x(at):.1f} {y(value):.1f}"
            pen = "L"
        parts.append(f'<path class="s{place}" d="{path_data}"/><rect class="k{place}" x="{left}" y="12" width="11" height="11" rx="2"/><text x="{left + 16}" y="22">{html.escape(name)}</text>')
        left += 34 + 7 * len(name)
    path.write_text("".join(parts) + "</svg>\n")
