"""A plot of the results as SVG, by hand: a block a step, a bar a tool, the floor as a line through all bars of its block.

Colours follow the reader's choice of light or dark; text is text.
"""

from xml.sax.saxutils import escape

from .tools import COPIES, FLOOR, OURS, VERB

COLUMNS, WIDTH, GAP = 3, 300, 20
NAME, NUMBER = 78, 40
LINE, TITLE, GROUP = 15, 22, 34
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #24292f }
.group { font-size: 14px; font-weight: 600 }
.step { font-weight: 600 }
.ours { fill: #0969da }
.peer { fill: #8c959f }
.copy { fill: #d0d7de }
.floor { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 3 2 }
.red { fill: #cf222e }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ours { fill: #4493f8 }
  .peer { fill: #6e7681 }
  .copy { fill: #3d444d }
  .floor { stroke: #ff7b72 }
  .red { fill: #ff7b72 }
}
"""


def scale(seconds):
    """What the longest bar stands for: one that is far longer than the next is cut off there, so that others can be told apart."""
    *_, next_longest, longest = sorted([0, 0, *seconds])
    return min(longest, 2 * next_longest) or longest or 1


def bars(results, tools, group, step, left, top):
    """A block, and how high it is."""
    seconds = {name: results.median(group, step, name, "wall") for name in results.tools(group, step)}
    floor = next((seconds.pop(name) for name in list(seconds) if tools[name].kind == FLOOR), None)
    longest = scale([*seconds.values(), floor or 0])
    space = WIDTH - NAME - NUMBER
    out = [f'<text class="step" x="{left}" y="{top + 12}">{escape(step)}</text>']
    at = top + TITLE
    for name in sorted(seconds, key=seconds.get):
        kind = {OURS: "ours", VERB: "ours", COPIES: "copy"}.get(tools[name].kind, "peer")
        length = max(1, space * min(1, seconds[name] / longest))
        number = f"{seconds[name]:.2f}{' »' if seconds[name] > longest else ''}"
        out += [
            f'<text x="{left + NAME - 6}" y="{at + 10}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{left + NAME}" y="{at}" width="{length:.1f}" height="{LINE - 3}" rx="2"/>',
            f'<text x="{left + NAME + length + 4:.1f}" y="{at + 10}">{number}</text>',
        ]
        at += LINE
    if floor:
        x = left + NAME + space * floor / longest
        out.append(f'<line class="floor" x1="{x:.1f}" x2="{x:.1f}" y1="{top + TITLE - 3}" y2="{at}"/>')
        out.append(f'<text class="red" x="{x:.1f}" y="{top + 12}" text-anchor="middle">{floor:.2f}</text>')
    return out, at - top + GAP


def draw(results, tools):
    """The whole picture."""
    out, top = [], 10
    for group in dict.fromkeys(group for group, _ in results.steps()):
        steps = [step for other, step in results.steps() if other == group]
        first = results.cell(group, steps[0], results.tools(group, steps[0])[0])[0]
        title = f"{group}: {first.logical / 1e6:.0f} MB in {first.files} files"
        out.append(f'<text class="group" x="{GAP}" y="{top + 14}">{escape(title)}</text>')
        top += GROUP
        for begin in range(0, len(steps), COLUMNS):
            heights = []
            for column, step in enumerate(steps[begin : begin + COLUMNS]):
                block, height = bars(results, tools, group, step, GAP + column * (WIDTH + GAP), top)
                out += block
                heights.append(height)
            top += max(heights)
    width = COLUMNS * (WIDTH + GAP) + GAP
    legend = "wall seconds, median · dashed: the sum of the physical passes · »: longer than drawn"
    out.append(f'<text x="{GAP}" y="{top + 4}">{legend}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + 16}" width="{width}" height="{top + 16}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *out, "</svg>"]) + "\n"
