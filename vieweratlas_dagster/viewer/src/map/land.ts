/**
 * The drawn land: shallows, the coast, countries and provinces.
 *
 * Belongs here: painting it, and carrying the picture along while the view moves. Does not belong here: where land
 * is (territory.ts), and how strongly a province is coloured (emphasis.ts).
 */
import type { Atlas, Community } from "../data/data";
import { cleared } from "./canvas";
import { mix } from "./color";
import type { Ring } from "./contour";
import type { Territory } from "./territory";
import type { Colors } from "./theme";

/** Share of its colour in a province. */
export const TINT = 0.3;
// So much of the view's size is painted beyond each of its sides, for moves to show.
const MARGIN = 0.2;
// A picture is stretched no further than this before it is painted anew.
const STRETCH = 1.4;
// After so long without a move the picture is painted as it should be.
const REST_MS = 120;

/**
 * How map coordinates become pixels: `origin` is where 0, 0 is; the map is never turned. `density` is how many of
 * the screen's pixels there are to one of these.
 */
export interface Frame {
  width: number;
  height: number;
  density: number;
  scale: { x: number; y: number };
  origin: { x: number; y: number };
}

export interface Paints {
  colors: Colors;
  /** Share of its colour in a province. */
  tint(community: Community): number;
}

export class Land {
  private readonly provinces: Path2D[];
  private readonly countries: Path2D[];
  private readonly depths: Path2D[];
  private painted: Frame | null = null;
  private resting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly atlas: Atlas,
    territory: Territory,
  ) {
    this.provinces = territory.provinces.map(pathOf);
    this.countries = territory.countries.map(pathOf);
    this.depths = territory.depths.map(pathOf);
  }

  /** The community whose province is at map coordinates. */
  communityAt(x: number, y: number): Community | null {
    // Never drawn on: it only answers whether a point is inside a path.
    const probe = this.canvas.ownerDocument.createElement("canvas").getContext("2d")!;
    return this.atlas.communities.find(({ at }) => probe.isPointInPath(this.provinces[at]!, x, y)) ?? null;
  }

  /** What was painted holds no more: the next `show` paints anew. */
  stale(): void {
    clearTimeout(this.resting);
    this.painted = null;
  }

  /** Shows the land in a frame: a small move carries the last picture along, and paints when the view rests. */
  show(frame: Frame, paints: Paints): void {
    clearTimeout(this.resting);
    const move = this.painted && moved(this.painted, frame);
    if (!move) return this.paint(frame, paints);
    const { factor, left, top } = move;
    const { x, y } = margins(frame);
    this.canvas.style.transform = `translate(${left + x - factor * x}px, ${top + y - factor * y}px) scale(${factor})`;
    if (factor !== 1 || left !== 0 || top !== 0) this.resting = setTimeout(() => this.paint(frame, paints), REST_MS);
  }

  private paint(frame: Frame, { colors, tint }: Paints): void {
    this.painted = frame;
    const { scale, origin } = frame;
    const context = this.layOut(frame);
    const { x, y } = margins(frame);
    const pixel = 1 / Math.abs(scale.x);
    context.transform(scale.x, 0, 0, scale.y, origin.x + x, origin.y + y);
    context.lineJoin = "round";
    this.depths.slice(0, -1).forEach((path, at) => {
      context.fillStyle = colors.shallows[at] ?? colors.sea;
      context.fill(path);
    });
    const coast = this.depths.at(-1);
    if (!coast) return;
    context.fillStyle = colors.paper;
    context.fill(coast);
    // Where provinces meet in threes, their rounded corners leave a gap; the country shows through.
    for (const region of this.atlas.regions) {
      context.fillStyle = mix(colors.paper, region.color, TINT);
      context.fill(this.countries[region.at]!);
    }
    for (const community of this.atlas.communities) {
      const path = this.provinces[community.at]!;
      const strength = tint(community);
      context.fillStyle = mix(colors.paper, community.color, strength);
      context.fill(path);
      context.strokeStyle = mix(colors.paper, community.color, 0.55 * strength);
      context.lineWidth = 1.1 * pixel;
      context.stroke(path);
    }
    for (const region of this.atlas.regions) {
      context.strokeStyle = mix(mix(colors.paper, region.color, 0.5), colors.ink, colors.dark ? 0.1 : 0.3);
      context.lineWidth = 1.3 * pixel;
      context.stroke(this.countries[region.at]!);
    }
  }

  /** The canvas laid out for a frame with its margins, empty, in CSS pixels. */
  private layOut(frame: Frame): CanvasRenderingContext2D {
    const { canvas } = this;
    const margin = margins(frame);
    const [width, height] = [frame.width + 2 * margin.x, frame.height + 2 * margin.y];
    Object.assign(canvas.style, {
      left: `${-margin.x}px`,
      top: `${-margin.y}px`,
      width: `${width}px`,
      height: `${height}px`,
      transform: "",
      transformOrigin: "0 0",
    });
    return cleared(canvas, width, height, frame.density);
  }
}

const margins = ({ width, height }: Frame) => ({ x: Math.round(MARGIN * width), y: Math.round(MARGIN * height) });

/** How a picture of one frame has to be stretched and moved to show another; null: it does not reach. */
export function moved(from: Frame, to: Frame): { factor: number; left: number; top: number } | null {
  if (from.width !== to.width || from.height !== to.height || from.density !== to.density) return null;
  const factor = to.scale.x / from.scale.x;
  if (factor > STRETCH || factor < 1 / STRETCH) return null;
  const [left, top] = [to.origin.x - factor * from.origin.x, to.origin.y - factor * from.origin.y];
  const { x, y } = margins(from);
  const reaches = (start: number, size: number, margin: number) =>
    start - factor * margin <= 0 && start + factor * (size + margin) >= size;
  return reaches(left, to.width, x) && reaches(top, to.height, y) ? { factor, left, top } : null;
}

/** Rings as one path, rounded: curves through the middles of their sides. */
function pathOf(outlines: Ring[]): Path2D {
  const path = new Path2D();
  for (const ring of outlines) {
    const points = ring.length / 2;
    const x = (at: number) => ring[2 * (at % points)]!;
    const y = (at: number) => ring[2 * (at % points) + 1]!;
    path.moveTo((x(0) + x(1)) / 2, (y(0) + y(1)) / 2);
    for (let at = 1; at <= points; at++) {
      path.quadraticCurveTo(x(at), y(at), (x(at) + x(at + 1)) / 2, (y(at) + y(at + 1)) / 2);
    }
    path.closePath();
  }
  return path;
}
