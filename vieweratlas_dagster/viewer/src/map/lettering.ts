/** The lettering of a single name: its font, width, possible boxes and colour, and drawing it. */
import type { Channel, Community, Region } from "../data/data";
import { mix, readable } from "./color";
import type { Box } from "./label-placement";
import { TINT } from "./land";
import type { Colors } from "./theme";

export type Name =
  | { kind: "region"; group: Region; size: number; alpha: number }
  | { kind: "community"; group: Community; size: number; alpha: number }
  | { kind: "channel"; channel: Channel; size: number; alpha: number; strong: boolean };

const SERIF = '"Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, "DejaVu Serif", serif';
const SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';
// Letter spacing of region names, as a share of their font size.
const SPACED = 0.14;

export class Lettering {
  private readonly widths = new Map<string, number>();
  private inks = new WeakMap<Community | Region, string>();

  /** Measures and draws with `context`, whose font, colours and letter spacing it changes. */
  constructor(
    private readonly context: CanvasRenderingContext2D,
    private colors: Colors,
  ) {}

  setColors(colors: Colors): void {
    this.colors = colors;
    this.inks = new WeakMap();
  }

  /** The width of a name in pixels, at a font size in pixels. */
  width(kind: Name["kind"], text: string, size: number, strong = false): number {
    // Measured once, at 100 pixels, and scaled.
    const font = fontOf(kind, 100, strong);
    const key = `${font}\u0000${text}`;
    let width = this.widths.get(key);
    if (width === undefined) {
      this.context.font = font;
      width = this.context.measureText(text).width;
      this.widths.set(key, width);
    }
    return (width * size) / 100 + (kind === "region" ? SPACED * size * [...text].length : 0);
  }

  /** The boxes that a group's name may take, the best centred on (x, y). */
  spotsAt(group: Community | Region, x: number, y: number, size: number): Box[] {
    const half = this.width(group.kind, textOf(group), size) / 2 + 3;
    const tall = 0.62 * size + 2;
    return [0, 1.5, -1.5, 3].map((step) => ({
      left: x - half,
      right: x + half,
      top: y + step * tall - tall,
      bottom: y + step * tall + tall,
    }));
  }

  /** The boxes that a channel's name may take around its disc at (x, y) with the radius `disc`, in pixels. */
  spotsBeside(channel: Channel, x: number, y: number, disc: number, size: number, strong: boolean): Box[] {
    const wide = this.width("channel", channel.name, size, strong) + 4;
    const tall = 0.6 * size + 1;
    const box = (left: number, middle: number): Box => ({ left, right: left + wide, top: middle - tall, bottom: middle + tall });
    return [
      box(x + disc + 2, y),
      box(x - wide / 2, y + disc + tall + 1),
      box(x - disc - 2 - wide, y),
      box(x - wide / 2, y - disc - tall - 1),
    ];
  }

  write(what: Name, box: Box, hovered: boolean): void {
    const { colors, context } = this;
    const strong = what.kind === "channel" && what.strong;
    const [text, left] = what.kind === "channel" ? [what.channel.name, box.left + 2] : [textOf(what.group), box.left + 3];
    const y = (box.top + box.bottom) / 2;
    context.textAlign = "left";
    context.globalAlpha = what.alpha;
    context.font = fontOf(what.kind, what.size, strong);
    context.letterSpacing = what.kind === "region" ? `${SPACED * what.size}px` : "0px";
    context.strokeStyle = colors.halo;
    context.lineWidth = what.kind !== "channel" ? 4 : strong ? 4.5 : 3;
    context.fillStyle = what.kind === "channel" || hovered ? colors.ink : this.ink(what.group);
    context.strokeText(text, left, y);
    context.fillText(text, left, y);
    context.letterSpacing = "0px";
    context.globalAlpha = 1;
  }

  /** A group's colour, darkened (or lightened) until it is readable on the group's land. */
  private ink(group: Community | Region): string {
    let ink = this.inks.get(group);
    if (!ink) {
      const { paper, ink: darkest } = this.colors;
      ink = readable(mix(group.color, darkest, group.kind === "region" ? 0.55 : 0.4), mix(paper, group.color, TINT), darkest);
      this.inks.set(group, ink);
    }
    return ink;
  }
}

/** The text of a group's name: capitals for regions. */
export const textOf = (group: Community | Region) => (group.kind === "region" ? group.short.toUpperCase() : group.short);

function fontOf(kind: Name["kind"], size: number, strong: boolean): string {
  if (kind === "region") return `600 ${size}px ${SERIF}`;
  if (kind === "community") return `italic 600 ${size}px ${SERIF}`;
  return `${strong ? 650 : 450} ${size}px ${SANS}`;
}
