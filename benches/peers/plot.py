"""A plot of the results as SVG, by hand: a block a step, a bar a tool, the floor as a line through all bars of its block.

Colours follow the reader's choice of light or dark; text is text.
"""

from xml.sax.saxutils import escape

from .incremental import NEXT
from .tool import COPIES, FLOOR, OURS, VERB

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


def bars(results, tools, group, step, left, top, title=None):
    """A block, and how high it is."""
    seconds = {name: results.median(group, step, name, "wall") for name in results.tools(group, step)}
    floor = next((seconds.pop(name) for name in list(seconds) if tools[name].kind == FLOOR), None)
    longest = scale([*seconds.values(), floor or 0])
    space = WIDTH - NAME - NUMBER
    out = [f'<text class="step" x="{left}" y="{top + 12}">{escape(title or step)}</text>']
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


def rows_of(blocks, out, top):
    """Blocks beside and below each other; each is drawn by a call with its left and top. Where the next one may begin."""
    for begin in range(0, len(blocks), COLUMNS):
        heights = []
        for column, block in enumerate(blocks[begin : begin + COLUMNS]):
            drawn, height = block(GAP + column * (WIDTH + GAP), top)
            out += drawn
            heights.append(height)
        top += max(heights)
    return top


def headed(title, out, top):
    """A title over blocks; where they may begin."""
    out.append(f'<text class="group" x="{GAP}" y="{top + 14}">{escape(title)}</text>')
    return top + GROUP


def framed(out, top, legend):
    """The picture around what was drawn."""
    width = COLUMNS * (WIDTH + GAP) + GAP
    out.append(f'<text x="{GAP}" y="{top + 4}">{escape(legend)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + 16}" width="{width}" height="{top + 16}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *out, "</svg>"]) + "\n"


def draw(results, tools):
    """Every step of every group."""
    out, top = [], 10
    for group in dict.fromkeys(group for group, _ in results.steps()):
        steps = [step for other, step in results.steps() if other == group]
        first = results.cell(group, steps[0], results.tools(group, steps[0])[0])[0]
        top = headed(f"{group}: {first.logical / 1e6:.0f} MB in {first.files} files", out, top)
        block = lambda step, group=group: lambda left, top: bars(results, tools, group, step, left, top)
        top = rows_of([block(step) for step in steps], out, top)
    return framed(out, top, "wall seconds, median · dashed: the sum of the physical passes · »: longer than drawn")


def draw_places(results, tables):
    """The next version of each dataset, place by place."""
    out, top = [], 10
    for place, found in results.items():
        top = headed(f"{place}: push of the next version", out, top)
        block = lambda group, place=place, found=found: (
            lambda left, top: bars(found, tables[place], group, NEXT, left, top, title=group)
        )
        top = rows_of([block(group) for group, step in found.steps() if step == NEXT], out, top)
    return framed(out, top, "wall seconds, median · »: longer than drawn · grey: peers, light: those that keep whole files")
