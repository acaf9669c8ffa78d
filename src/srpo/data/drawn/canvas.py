"""Drawing on the 84x84 lattice: nine cells of 28 pixels, one merged vision token each.

The tiny model sees a 3x3 grid of tokens; everything that a question names lies in whole cells, so that reading is
learnable for a vision tower of a few thousand parameters. Colours are few, named, and far apart.
"""

from typing import Final

from PIL import Image, ImageDraw

SIZE: Final = 84
"""Side of every picture, in pixels."""
CELL: Final = 28
"""Side of one cell, in pixels: two patches of 14, merged into one vision token."""

COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (220, 40, 40),
    "blue": (40, 80, 220),
    "green": (30, 160, 60),
    "orange": (245, 150, 20),
    "purple": (140, 50, 170),
}
SHAPES: Final = ("circle", "square", "triangle")
INK: Final = (20, 20, 20)
GRID: Final = (190, 190, 190)

# 3x5 dot-matrix digits, a row of bits per line, top first.
_FONT: Final = {
    "0": "757557", "1": "262227", "2": "717447", "3": "717117", "4": "557111",
    "5": "747117", "6": "747557", "7": "711222", "8": "757557", "9": "757117",
}  # fmt: skip


def blank() -> Image.Image:
    """A white 84x84 RGB picture."""
    return Image.new("RGB", (SIZE, SIZE), (255, 255, 255))


def pen(picture: Image.Image) -> ImageDraw.ImageDraw:
    """Something to draw on `picture` with."""
    return ImageDraw.Draw(picture)


def cell_name(row: int, column: int) -> str:
    """Cells are named by row and column from 1: `23` is the middle row, right column."""
    return f"{row + 1}{column + 1}"


def name_cells(draw: ImageDraw.ImageDraw, inset: int = 0) -> None:
    """Print every cell's name in its top left corner, as on a board, `inset` pixels away from the borders."""
    for row in range(3):
        for column in range(3):
            for place, figure in enumerate(cell_name(row, column)):
                digit(draw, int(figure), column * CELL + inset + 4 * place, row * CELL + inset, 1)


def shape(draw: ImageDraw.ImageDraw, name: str, colour: str, row: int, column: int) -> None:
    """Draw one filled shape in the cell at `row`, `column` (0-based), below and right of the cell's name.

    The dark outline tells the shapes apart whatever their colour: without it a tiny vision tower misreads one in four.
    """
    x, y = column * CELL + 6, row * CELL + 6
    end_x, end_y = x + CELL - 9, y + CELL - 9
    fill = COLOURS[colour]
    match name:
        case "circle":
            draw.ellipse((x, y, end_x, end_y), fill=fill, outline=INK, width=2)
        case "square":
            draw.rectangle((x + 1, y + 1, end_x - 1, end_y - 1), fill=fill, outline=INK, width=2)
        case "triangle":
            draw.polygon(((x, end_y), (end_x, end_y), ((x + end_x) // 2, y)), fill=fill, outline=INK, width=2)
        case _:
            raise ValueError(f"unknown shape {name!r}; known shapes are {SHAPES}")


def digit(draw: ImageDraw.ImageDraw, value: int, x: int, y: int, scale: int, fill: tuple[int, int, int] = INK) -> None:
    """Draw a printed digit, 3*scale wide and 6*scale high, with its top left corner at (x, y)."""
    for line, bits in enumerate(_FONT[str(value)]):
        for column in range(3):
            if int(bits) >> (2 - column) & 1:
                left, top = x + column * scale, y + line * scale
                draw.rectangle((left, top, left + scale - 1, top + scale - 1), fill=fill)
