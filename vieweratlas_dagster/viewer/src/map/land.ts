/** Paints the land (shallows, coast, countries and provinces), and moves the painted picture along with the view. */
import type { Atlas, Community } from "../data/data";
import { cleared } from "./canvas";
import { mix } from "./color";
import type { Ring } from "./contour";
import type { Territory } from "./territory";
import type { Colors } from "./theme";

/** The usual share of its colour in a province. */
export const TINT = 0.3;
// Share of the view's size that is painted beyond each side, to be ready for moves.
const MARGIN = 0.2;
// Largest factor by which a picture is stretched before it is painted again.
const STRETCH = 1.4;
// Time without a move after which a moved picture is painted again.
const REST_MS = 120;

/**
 * The projection of map coordinates to CSS pixels.
 *
 * `origin` is the pixel of (0, 0), and `density` the device pixels per CSS pixel.
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
  /** The share of its colour in a community's province. */
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
    // Never drawn on: it only tests points against paths.
    const probe = this.canvas.ownerDocument.createElement("canvas").getContext("2d")!;
    return this.atlas.communities.find(({ at }) => probe.isPointInPath(this.provinces[at]!, x, y)) ?? null;
  }

  /** Discards the painted picture, so that the next `show` paints. */
  stale(): void {
    clearTimeout(this.resting);
    this.painted = null;
  }

  /** Shows the land in a frame: moves the last picture if the move is small, and paints once the view rests. */
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
    // Where three provinces meet, their rounded corners leave a gap, in which the country shows.
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

  /** Lays the canvas out for a frame with its margins, and clears it. */
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

/** The stretch and shift that show the picture of a frame in a different one; null if it does not cover that. */
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

/** The rings as one path with rounded corners: curves through the middles of their sides. */
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
