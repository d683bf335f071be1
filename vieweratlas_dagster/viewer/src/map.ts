/**
 * The drawn map: land below, links of the selected channel, discs (sigma, WebGL), names on top.
 *
 * Belongs here: drawing, the camera, and what the pointer meets. Does not belong here: what a
 * selection means for the rest of the page (main.ts).
 */
import { createNodeBorderProgram } from "@sigma/node-border";
import Sigma from "sigma";
import { mix } from "./color";
import type { Ring } from "./contour";
import type { Atlas, Channel, Community, Neighbour, Region } from "./data";
import { buildGraph, colorOf, faded, type NodeAttributes, paint } from "./graph";
import { type Box, contains, place, type Placed, type Wish } from "./labels";
import { NOTHING, type Selection } from "./state";
import { buildTerritory, type Anchor, type Territory } from "./territory";
import type { Colors } from "./theme";

interface Point {
  x: number;
  y: number;
}

/** Pixels of the map that panels cover. */
export interface Insets {
  top: number;
  right: number;
  bottom: number;
  left: number;
}

export interface MapHooks {
  pick(target: Channel | Community | Region): void;
  pickNothing(): void;
  insets(): Insets;
}

type Name =
  | { kind: "region"; group: Region; size: number; alpha: number }
  | { kind: "community"; group: Community; size: number; alpha: number }
  | { kind: "channel"; channel: Channel; size: number; alpha: number; strong: boolean };

const SERIF = '"Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, "DejaVu Serif", serif';
const SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';
// Letter spacing of region names, in their font size.
const SPACED = 0.14;
// Share of its colour in a province.
const TINT = 0.3;
const LINKS_DRAWN = 40;
const NAMES_OF_NEIGHBOURS = 14;
const MIN_RATIO = 0.015;
const MAX_RATIO = 1.6;

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export function webglAvailable(): boolean {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
}

export class AtlasMap {
  private readonly sigma: Sigma<NodeAttributes>;
  private readonly canvases: Record<"land" | "links" | "labels", HTMLCanvasElement>;
  private readonly territory: Territory;
  private readonly provincePaths: Path2D[];
  private readonly countryPaths: Path2D[];
  private readonly depthPaths: Path2D[];
  private readonly widths = new Map<string, number>();
  private readonly mainland: Channel[];
  private selection: Selection = NOTHING;
  private neighbours: Neighbour[] = [];
  private lit: Set<number> | null = null;
  private hovered: Channel | null = null;
  private hoveredGroup: Community | Region | null = null;
  private placed: Placed<Name>[] = [];

  constructor(
    private readonly atlas: Atlas,
    private readonly container: HTMLElement,
    private colors: Colors,
    private readonly hooks: MapHooks,
  ) {
    const canvas = (id: string) => container.querySelector<HTMLCanvasElement>(`#${id}`)!;
    this.canvases = { land: canvas("land"), links: canvas("links"), labels: canvas("labels") };
    this.territory = buildTerritory(
      atlas.channels.map((channel) => ({ x: channel.x, y: channel.y, community: channel.community?.at ?? -1 })),
      atlas.communities.length,
      atlas.communities.map((community) => community.region?.at ?? -1),
      atlas.regions.length,
    );
    this.provincePaths = this.territory.provinces.map(pathOf);
    this.countryPaths = this.territory.countries.map(pathOf);
    this.depthPaths = this.territory.depths.map(pathOf);

    const settled = atlas.channels.filter((channel) => channel.community);
    this.mainland = settled.length ? settled : atlas.channels;

    const stage = container.querySelector<HTMLElement>("#graph")!;
    this.sigma = new Sigma(buildGraph(atlas, stage.clientWidth * stage.clientHeight, colors), stage, {
      allowInvalidContainer: true,
      renderLabels: false,
      zIndex: true,
      enableCameraRotation: false,
      minCameraRatio: MIN_RATIO,
      maxCameraRatio: MAX_RATIO,
      stagePadding: Math.min(70, 0.06 * Math.min(stage.clientWidth, stage.clientHeight)),
      defaultNodeType: "disc",
      nodeProgramClasses: {
        disc: createNodeBorderProgram<NodeAttributes>({
          borders: [
            { size: { value: 0.14 }, color: { attribute: "rim" } },
            { size: { fill: true }, color: { attribute: "color" } },
          ],
        }),
      },
      nodeHoverProgramClasses: {},
      defaultDrawNodeHover: () => undefined,
      nodeReducer: (node, data) => this.look(Number(node), data),
    });
    const extent = this.extent();
    if (extent) this.sigma.setCustomBBox(extent);
    this.listen();
  }

  /** Runs once the first frame is drawn. */
  whenPainted(done: () => void): void {
    this.sigma.once("afterRender", done);
    this.sigma.refresh();
  }

  setColors(colors: Colors): void {
    this.colors = colors;
    this.sigma.refresh();
  }

  /** Shows a selection; `move` brings it into view, else the view moves only if a panel hides it. */
  select(selection: Selection, move: boolean): void {
    this.selection = selection;
    this.neighbours = selection.kind === "channel" ? this.atlas.neighboursOf(selection.channel) : [];
    this.lit = this.litChannels();
    this.sigma.refresh({ skipIndexation: true });
    if (selection.kind === "none") return;
    if (selection.kind !== "channel") {
      if (move) this.fit(this.membersOf(selection.group), 0.1);
    } else if (move) this.fit(this.around(selection.channel), 0.16);
    else this.uncover(selection.channel);
  }

  zoom(factor: number): void {
    const camera = this.sigma.getCamera();
    this.animate({ ...camera.getState(), ratio: clamp(camera.ratio * factor, MIN_RATIO, MAX_RATIO) }, 180);
  }

  pan(dx: number, dy: number): void {
    const { width, height } = this.sigma.getDimensions();
    const camera = this.sigma.getCamera().getState();
    const from = this.sigma.viewportToFramedGraph({ x: 0, y: 0 });
    const to = this.sigma.viewportToFramedGraph({ x: dx * width, y: dy * height });
    this.animate({ ...camera, x: camera.x + to.x - from.x, y: camera.y + to.y - from.y }, 140);
  }

  /** All the land, inside what the panels leave free; without land, every channel. */
  showAll(duration = 520): void {
    this.fit(this.mainland, 0.2, duration);
  }

  private membersOf(group: Community | Region): Channel[] {
    return group.members.map((at) => this.atlas.channels[at]!);
  }

  /** A view with the channel in its middle and most of its strongest neighbours inside, as corner points. */
  private around(channel: Channel): Point[] {
    const far = this.neighbours
      .slice(0, NAMES_OF_NEIGHBOURS)
      .map((neighbour) => Math.hypot(neighbour.channel.x - channel.x, neighbour.channel.y - channel.y))
      .sort((one, other) => one - other);
    const reach = far[Math.floor(0.6 * far.length)] ?? 0;
    return [
      { x: channel.x - reach, y: channel.y - reach },
      { x: channel.x + reach, y: channel.y + reach },
    ];
  }

  private litChannels(): Set<number> | null {
    const { selection } = this;
    if (selection.kind === "none") return null;
    if (selection.kind === "channel") {
      return new Set([selection.channel.at, ...this.neighbours.map((neighbour) => neighbour.channel.at)]);
    }
    return new Set(selection.group.members);
  }

  private look(at: number, data: NodeAttributes) {
    const channel = this.atlas.channels[at]!;
    if (this.lit && !this.lit.has(at)) return { ...data, ...faded(channel, this.colors), zIndex: 0 };
    const chosen = this.selection.kind === "channel" && this.selection.channel === channel;
    return { ...data, ...paint(channel, this.colors), zIndex: chosen ? 2 : this.lit ? 1 : 0 };
  }

  private extent() {
    const { channels } = this.atlas;
    if (!channels.length) return null;
    const xs = channels.map((channel) => channel.x);
    const ys = channels.map((channel) => channel.y);
    const span = (values: number[]): [number, number] => {
      const low = values.reduce((one, other) => Math.min(one, other));
      const high = values.reduce((one, other) => Math.max(one, other));
      const pad = Math.max(0.25 - (high - low), 0) / 2 + 0.03;
      return [low - pad, high + pad];
    };
    return { x: span(xs), y: span(ys) };
  }

  // ---- the camera

  private animate(state: { x: number; y: number; ratio: number }, duration: number): void {
    const camera = this.sigma.getCamera();
    if (reducedMotion.matches || duration === 0) camera.setState({ ...state, angle: 0 });
    else void camera.animate({ ...state, angle: 0 }, { duration, easing: "cubicInOut" });
  }

  private fit(places: Point[], closest: number, duration = 520): void {
    if (!places.length) return;
    const { width, height } = this.sigma.getDimensions();
    const insets = this.hooks.insets();
    const base = { x: 0.5, y: 0.5, ratio: 1, angle: 0 };
    const points = places.map((at) => this.sigma.graphToViewport(at, { cameraState: base }));
    const box = {
      left: Math.min(...points.map((point) => point.x)),
      right: Math.max(...points.map((point) => point.x)),
      top: Math.min(...points.map((point) => point.y)),
      bottom: Math.max(...points.map((point) => point.y)),
    };
    const free = {
      width: Math.max(width - insets.left - insets.right, 80),
      height: Math.max(height - insets.top - insets.bottom, 80),
    };
    const ratio = clamp(
      Math.max((box.right - box.left) / (0.86 * free.width), (box.bottom - box.top) / (0.82 * free.height)),
      closest,
      MAX_RATIO,
    );
    const centre = { x: insets.left + free.width / 2, y: insets.top + free.height / 2 };
    const target = { x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2 };
    const goal = this.sigma.viewportToFramedGraph(target, { cameraState: base });
    const state = { ...base, ratio };
    const there = this.sigma.viewportToFramedGraph(centre, { cameraState: state });
    this.animate({ x: state.x + goal.x - there.x, y: state.y + goal.y - there.y, ratio }, duration);
  }

  /** Moves the view just enough that no panel covers the channel. */
  private uncover(channel: Channel): void {
    const { width, height } = this.sigma.getDimensions();
    const insets = this.hooks.insets();
    const point = this.sigma.graphToViewport(channel);
    const edge = 40;
    const x = clamp(point.x, insets.left + edge, Math.max(width - insets.right - edge, insets.left + edge));
    const y = clamp(point.y, insets.top + edge, Math.max(height - insets.bottom - edge, insets.top + edge));
    if (x !== point.x || y !== point.y) this.pan((point.x - x) / width, (point.y - y) / height);
  }

  // ---- the pointer

  private listen(): void {
    const { sigma } = this;
    sigma.on("afterRender", () => this.draw());
    sigma.on("clickNode", ({ node, event }) => {
      this.hooks.pick(this.groupAt(event.x, event.y) ?? this.atlas.channels[Number(node)]!);
    });
    sigma.on("clickStage", ({ event }) => {
      const target = this.nameAt(event.x, event.y);
      if (target) this.hooks.pick(target);
      else this.hooks.pickNothing();
    });
    sigma.on("enterNode", ({ node }) => this.hover(this.atlas.channels[Number(node)]!));
    sigma.on("leaveNode", () => this.hover(null));
    sigma.on("moveBody", ({ event }) => this.hoverGroup(this.groupAt(event.x, event.y)));
    sigma.on("doubleClickNode", (event) => event.preventSigmaDefault());
  }

  private nameAt(x: number, y: number): Channel | Community | Region | null {
    const found = this.placed.find(({ box, what }) => what.alpha > 0.3 && contains(box, x, y));
    if (!found) return null;
    return found.what.kind === "channel" ? found.what.channel : found.what.group;
  }

  private groupAt(x: number, y: number): Community | Region | null {
    const found = this.nameAt(x, y);
    return found && !("name" in found) ? found : null;
  }

  private hover(channel: Channel | null): void {
    this.hovered = channel;
    this.cursor();
    this.drawLabels();
  }

  private hoverGroup(group: Community | Region | null): void {
    if (group === this.hoveredGroup) return;
    this.hoveredGroup = group;
    this.cursor();
    this.drawLabels();
  }

  private cursor(): void {
    this.container.classList.toggle("pointing", Boolean(this.hovered ?? this.hoveredGroup));
  }

  // ---- drawing

  private draw(): void {
    this.drawLand();
    this.drawLinks();
    this.drawLabels();
  }

  /** A cleared canvas in CSS pixels. */
  private context(layer: keyof AtlasMap["canvases"]): CanvasRenderingContext2D {
    const canvas = this.canvases[layer];
    const { width, height } = this.sigma.getDimensions();
    const density = Math.min(window.devicePixelRatio || 1, 2);
    const [wide, high] = [Math.round(width * density), Math.round(height * density)];
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    const context = canvas.getContext("2d")!;
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  }

  /** Map units to pixels; the map is never turned. */
  private scale() {
    const origin = this.sigma.graphToViewport({ x: 0, y: 0 });
    const unit = this.sigma.graphToViewport({ x: 1, y: 1 });
    return { x: unit.x - origin.x, y: unit.y - origin.y, origin };
  }

  private drawLand(): void {
    const context = this.context("land");
    const { colors } = this;
    const scale = this.scale();
    const pixel = 1 / Math.abs(scale.x);
    context.transform(scale.x, 0, 0, scale.y, scale.origin.x, scale.origin.y);
    context.lineJoin = "round";
    this.depthPaths.slice(0, -1).forEach((path, at) => {
      context.fillStyle = colors.shallows[at] ?? colors.sea;
      context.fill(path);
    });
    const coast = this.depthPaths.at(-1);
    if (!coast) return;
    context.fillStyle = colors.paper;
    context.fill(coast);
    // Where provinces meet in threes, their rounded corners leave a gap; the country shows through.
    for (const region of this.atlas.regions) {
      context.fillStyle = mix(colors.paper, region.color, TINT);
      context.fill(this.countryPaths[region.at]!);
    }
    for (const community of this.atlas.communities) {
      const path = this.provincePaths[community.at]!;
      const strength = this.tint(community);
      context.fillStyle = mix(colors.paper, community.color, strength);
      context.fill(path);
      context.strokeStyle = mix(colors.paper, community.color, 0.55 * strength);
      context.lineWidth = 1.1 * pixel;
      context.stroke(path);
    }
    for (const region of this.atlas.regions) {
      context.strokeStyle = mix(mix(colors.paper, region.color, 0.5), colors.ink, colors.dark ? 0.1 : 0.3);
      context.lineWidth = 1.3 * pixel;
      context.stroke(this.countryPaths[region.at]!);
    }
  }

  /** How strongly a province is coloured: those outside the selection stand back. */
  private tint(community: Community): number {
    const { selection } = this;
    if (selection.kind === "none") return TINT;
    if (selection.kind === "community") return selection.group === community ? TINT + 0.14 : 0.1;
    if (selection.kind === "region") return selection.group === community.region ? TINT + 0.06 : 0.1;
    return selection.channel.community === community ? TINT : 0.13;
  }

  private drawLinks(): void {
    const context = this.context("links");
    if (this.selection.kind !== "channel") return;
    const links = this.neighbours.slice(0, LINKS_DRAWN);
    const strongest = links[0]?.amount ?? 1;
    const from = this.sigma.graphToViewport(this.selection.channel);
    context.lineCap = "round";
    for (const { channel, amount } of links.reverse()) {
      const to = this.sigma.graphToViewport(channel);
      const share = Math.sqrt(amount / strongest);
      const color = mix(colorOf(channel, this.colors), this.colors.ink, 0.25);
      context.strokeStyle = color;
      context.globalAlpha = 0.22 + 0.5 * share;
      context.lineWidth = 0.8 + 3.4 * share * share;
      context.beginPath();
      context.moveTo(from.x, from.y);
      const [bendX, bendY] = [(to.y - from.y) * 0.12, (from.x - to.x) * 0.12];
      context.quadraticCurveTo((from.x + to.x) / 2 + bendX, (from.y + to.y) / 2 + bendY, to.x, to.y);
      context.stroke();
    }
  }

  private drawLabels(): void {
    const context = this.context("labels");
    const { width, height } = this.sigma.getDimensions();
    this.placed = place(this.wishes(context), { left: 2, top: 2, right: width - 2, bottom: height - 2 });
    this.ring(context);
    context.lineJoin = "round";
    context.textBaseline = "middle";
    for (const { what, box } of [...this.placed].reverse()) this.write(context, what, box);
  }

  private ring(context: CanvasRenderingContext2D): void {
    const circle = (channel: Channel, gap: number, width: number, color: string) => {
      const data = this.sigma.getNodeDisplayData(String(channel.at));
      if (!data) return;
      const { x, y } = this.sigma.graphToViewport(channel);
      context.strokeStyle = color;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, this.sigma.scaleSize(data.size) + gap, 0, 2 * Math.PI);
      context.stroke();
    };
    if (this.hovered) circle(this.hovered, 1.5, 2, this.colors.ink);
    if (this.selection.kind === "channel") {
      circle(this.selection.channel, 3.5, 4.5, this.colors.halo);
      circle(this.selection.channel, 3.5, 2.5, this.colors.accent);
    }
  }

  private wishes(context: CanvasRenderingContext2D): Wish<Name>[] {
    const { selection } = this;
    const wishes: Wish<Name>[] = [];
    const asked = new Set<Channel>();
    const ask = (channel: Channel, strong: boolean) => {
      if (asked.has(channel)) return;
      asked.add(channel);
      wishes.push(this.channelWish(context, channel, strong));
    };
    if (this.hovered) ask(this.hovered, true);
    if (selection.kind === "channel") {
      ask(selection.channel, true);
      for (const { channel } of this.neighbours.slice(0, NAMES_OF_NEIGHBOURS)) ask(channel, false);
    }
    for (const region of this.atlas.regions) this.regionWish(context, region, wishes);
    for (const community of this.atlas.communities) this.communityWish(context, community, wishes);

    const { width, height } = this.sigma.getDimensions();
    const ratio = this.sigma.getCamera().ratio;
    // Names come with zoom: only discs of some size far out, every disc close by.
    const least = clamp(13 * Math.pow(ratio, 0.8), 2.2, 13);
    let left = 500;
    for (const channel of this.atlas.channels) {
      if (this.lit && !this.lit.has(channel.at)) continue;
      const data = this.sigma.getNodeDisplayData(String(channel.at))!;
      if (this.sigma.scaleSize(data.size) < least && !(this.lit && selection.kind !== "channel" && ratio < 0.5)) continue;
      const point = this.sigma.graphToViewport(channel);
      if (point.x < 0 || point.y < 0 || point.x > width || point.y > height) continue;
      ask(channel, false);
      if (--left === 0) break;
    }
    return wishes;
  }

  private regionWish(context: CanvasRenderingContext2D, region: Region, wishes: Wish<Name>[]): void {
    const anchor = this.territory.countryAnchors[region.at];
    if (!anchor) return;
    const { reach, view } = this.reach(anchor);
    // As large as the country has room for, down to a readable size.
    const perPixel = this.width(context, region.label.toUpperCase(), this.fontOf("region", 10), 10, SPACED * 10) / 10;
    const size = clamp(Math.min(0.34 * reach, (2.3 * reach) / perPixel), 10, 34);
    const alpha = 0.92 * ramp(reach, 14, 20) * (1 - ramp(reach, 0.42 * view, 0.62 * view)) * this.standing(region);
    if (size * perPixel > 6 * reach || alpha < 0.05) return;
    wishes.push({ what: { kind: "region", group: region, size, alpha }, spots: this.spots(context, region.label, "region", anchor, size) });
  }

  private communityWish(context: CanvasRenderingContext2D, community: Community, wishes: Wish<Name>[]): void {
    const anchor = this.territory.provinceAnchors[community.at];
    if (!anchor) return;
    const { reach, view } = this.reach(anchor);
    // A region of one community: one name is enough until the region's own fades.
    if (community.region?.communities.length === 1 && reach < 0.5 * view) return;
    const size = clamp(0.13 * reach + 7, 11, 20);
    const fits = this.width(context, community.label, this.fontOf("community", size), size) < 3.2 * reach;
    const chosen = this.selection.kind === "community" && this.selection.group === community;
    const alpha = chosen ? 1 : ramp(reach, 22, 30) * (1 - ramp(reach, 0.6 * view, 0.9 * view)) * this.standing(community);
    if ((!fits && !chosen) || alpha < 0.05) return;
    wishes.push({ what: { kind: "community", group: community, size, alpha }, spots: this.spots(context, community.label, "community", anchor, size) });
  }

  /** Names outside the selection stand back. */
  private standing(group: Community | Region): number {
    const { selection } = this;
    if (selection.kind === "none" || group === this.hoveredGroup) return 1;
    if (selection.kind === "channel") return group === selection.channel.community || group === selection.channel.region ? 0.9 : 0.4;
    if (selection.group === group) return 1;
    return "region" in group && group.region === selection.group ? 1 : 0.3;
  }

  /** Radius in pixels of a disc of the named land's area, and of the view. */
  private reach(anchor: Anchor) {
    const scale = Math.abs(this.scale().x);
    const { width, height } = this.sigma.getDimensions();
    return { reach: Math.sqrt(anchor.area / Math.PI) * scale, view: Math.min(width, height) };
  }

  private spots(context: CanvasRenderingContext2D, label: string, kind: "region" | "community", anchor: Anchor, size: number): Box[] {
    const { x, y } = this.sigma.graphToViewport(anchor);
    const text = kind === "region" ? label.toUpperCase() : label;
    const spacing = kind === "region" ? SPACED * size : 0;
    const half = this.width(context, text, this.fontOf(kind, size), size, spacing) / 2 + 3;
    const tall = 0.62 * size + 2;
    return [0, 1.5, -1.5, 3].map((step) => ({
      left: x - half,
      right: x + half,
      top: y + step * tall - tall,
      bottom: y + step * tall + tall,
    }));
  }

  private channelWish(context: CanvasRenderingContext2D, channel: Channel, strong: boolean): Wish<Name> {
    const data = this.sigma.getNodeDisplayData(String(channel.at))!;
    const { x, y } = this.sigma.graphToViewport(channel);
    const disc = this.sigma.scaleSize(data.size);
    const size = strong ? 14 : clamp(9.5 + 0.22 * disc, 10.5, 14);
    const wide = this.width(context, channel.name, this.fontOf("channel", size, strong), size) + 4;
    const tall = 0.6 * size + 1;
    const box = (left: number, middle: number): Box => ({ left, right: left + wide, top: middle - tall, bottom: middle + tall });
    const spots = [
      box(x + disc + 2, y),
      box(x - wide / 2, y + disc + tall + 1),
      box(x - disc - 2 - wide, y),
      box(x - wide / 2, y - disc - tall - 1),
    ];
    return { what: { kind: "channel", channel, size, alpha: 1, strong }, spots };
  }

  private fontOf(kind: Name["kind"], size: number, strong = false): string {
    if (kind === "region") return `600 ${size}px ${SERIF}`;
    if (kind === "community") return `italic 600 ${size}px ${SERIF}`;
    return `${strong ? 650 : 450} ${size}px ${SANS}`;
  }

  private width(context: CanvasRenderingContext2D, text: string, font: string, size: number, spacing = 0): number {
    // Widths are measured once, at 100 pixels, and scaled.
    const at100 = font.replace(`${size}px`, "100px");
    const key = `${at100}\u0000${text}`;
    let width = this.widths.get(key);
    if (width === undefined) {
      context.font = at100;
      width = context.measureText(text).width;
      this.widths.set(key, width);
    }
    return (width * size) / 100 + spacing * [...text].length;
  }

  private write(context: CanvasRenderingContext2D, what: Name, box: Box): void {
    const { colors } = this;
    context.globalAlpha = what.alpha;
    context.font = this.fontOf(what.kind, what.size, what.kind === "channel" && what.strong);
    context.strokeStyle = colors.halo;
    const y = (box.top + box.bottom) / 2;
    if (what.kind === "channel") {
      context.textAlign = "left";
      context.fillStyle = colors.ink;
      context.lineWidth = what.strong ? 4.5 : 3;
      context.strokeText(what.channel.name, box.left + 2, y);
      context.fillText(what.channel.name, box.left + 2, y);
    } else {
      const region = what.kind === "region";
      const text = region ? what.group.label.toUpperCase() : what.group.label;
      context.textAlign = "left";
      context.fillStyle = mix(mix(what.group.color, colors.ink, region ? 0.62 : 0.5), colors.ink, what.group === this.hoveredGroup ? 1 : 0);
      context.lineWidth = 4;
      context.letterSpacing = region ? `${SPACED * what.size}px` : "0px";
      context.strokeText(text, box.left + 3, y);
      context.fillText(text, box.left + 3, y);
      context.letterSpacing = "0px";
    }
    context.globalAlpha = 1;
  }
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

const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
const ramp = (value: number, low: number, high: number) => clamp((value - low) / (high - low), 0, 1);
