/**
 * The drawn map: land below, links of what is selected, discs (sigma, WebGL), names on top.
 *
 * Belongs here: drawing, the camera, and what the pointer meets. Does not belong here: what a
 * selection means for the rest of the page (main.ts).
 */
import Sigma from "sigma";
import type { Atlas, Channel, Community, Region } from "../data/data";
import type { Camera, View } from "../data/state";
import { mix } from "./color";
import { Discs } from "./discs";
import { Emphasis } from "./emphasis";
import { buildGraph, colorOf, faded, type NodeAttributes, paint } from "./graph";
import { type Box, contains, place, type Placed, type Wish } from "./label-placement";
import { Land } from "./land";
import { Lettering, type Name, textOf } from "./lettering";
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
  /** `stay`: the view should not move for it. */
  pick(target: Channel | Community | Region, stay: boolean): void;
  pickNothing(): void;
  insets(): Insets;
  /** Boxes in pixels of the map where no name may be written, as something lies over them. */
  covered(): Box[];
  /** The reader moved the view, and it rests now. */
  moved(camera: Camera): void;
}

const NAMES_OF_NEIGHBOURS = 14;
// Among so few channels, every one is named where there is room.
const FEW = 60;
// How far beside a disc a click still means it, in pixels: fingers are wider than pointers.
const NEAR = { mouse: 6, touch: 16 };
const REST_MS = 300;
const MIN_RATIO = 0.015;
const MAX_RATIO = 1.6;

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export function webglAvailable(): boolean {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
}

export class AtlasMap {
  private readonly sigma: Sigma<NodeAttributes>;
  private readonly canvases: Record<"links" | "labels", HTMLCanvasElement>;
  private territory!: Territory;
  private land!: Land;
  // Radius by channel, where the camera is at the start.
  private sizes!: number[];
  private readonly lettering: Lettering;
  private mainland!: Channel[];
  private emphasis: Emphasis;
  private hovered: Channel | null = null;
  private hoveredGroup: Community | Region | null = null;
  private placed: Placed<Name>[] = [];
  // While the page itself moves the camera, its moves are not the reader's.
  private ownMoves = 0;
  private resting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private atlas: Atlas,
    private readonly container: HTMLElement,
    private colors: Colors,
    private readonly hooks: MapHooks,
  ) {
    const canvas = (id: string) => container.querySelector<HTMLCanvasElement>(`#${id}`)!;
    this.canvases = { links: canvas("links"), labels: canvas("labels") };
    this.lettering = new Lettering(this.canvases.labels.getContext("2d")!, colors);
    this.emphasis = new Emphasis(atlas);
    this.survey();
    const stage = container.querySelector<HTMLElement>("#graph")!;
    this.sigma = new Sigma(this.discs(stage), stage, {
      allowInvalidContainer: true,
      renderLabels: false,
      zIndex: true,
      enableCameraRotation: false,
      minCameraRatio: MIN_RATIO,
      maxCameraRatio: MAX_RATIO,
      stagePadding: Math.min(70, 0.06 * Math.min(stage.clientWidth, stage.clientHeight)),
      defaultNodeType: "disc",
      nodeProgramClasses: { disc: Discs },
      nodeHoverProgramClasses: {},
      defaultDrawNodeHover: () => undefined,
      nodeReducer: (node, data) => this.look(Number(node), data),
    });
    const extent = this.extent();
    if (extent) this.sigma.setCustomBBox(extent);
    this.listen();
  }

  /** Another day's map in the same frame: what stayed in its place stays there. The next `show` draws it. */
  setAtlas(atlas: Atlas): void {
    const stage = this.container.querySelector<HTMLElement>("#graph")!;
    this.atlas = atlas;
    this.emphasis = new Emphasis(atlas);
    [this.hovered, this.hoveredGroup, this.placed] = [null, null, []];
    this.survey();
    this.sigma.setGraph(this.discs(stage));
  }

  /** The channels as discs that suit the stage. */
  private discs(stage: HTMLElement) {
    const graph = buildGraph(this.atlas, stage.clientWidth * stage.clientHeight, this.colors);
    // Sigma gives a copy of all it knows of a disc to whoever asks.
    this.sizes = this.atlas.channels.map(({ at }) => graph.getNodeAttribute(String(at), "size"));
    return graph;
  }

  /** The land of the map that is shown. */
  private survey(): void {
    const { atlas } = this;
    this.territory = buildTerritory(
      atlas.channels.map((channel) => ({ x: channel.x, y: channel.y, community: channel.community?.at ?? -1 })),
      atlas.communities.length,
      atlas.communities.map((community) => community.region?.at ?? -1),
      atlas.regions.length,
    );
    this.land?.stale();
    this.land = new Land(this.container.querySelector<HTMLCanvasElement>("#land")!, atlas, this.territory);
    const settled = atlas.channels.filter((channel) => channel.community);
    this.mainland = settled.length ? settled : atlas.channels;
  }

  /** Runs once the first frame is drawn. */
  whenPainted(done: () => void): void {
    this.sigma.once("afterRender", done);
    this.sigma.refresh();
  }

  setColors(colors: Colors): void {
    this.colors = colors;
    this.lettering.setColors(colors);
    this.land.stale();
    this.sigma.refresh();
  }

  /**
   * Shows a view's selection and filter, and moves where the view's camera is, or else where the selection is
   * seen best; with `stay` it moves only if a panel hides what is selected.
   */
  show(view: View, stay: boolean): void {
    const { selection } = view;
    this.emphasis = new Emphasis(this.atlas, selection, view.filter);
    this.land.stale();
    this.sigma.refresh({ skipIndexation: true });
    if (view.camera && !stay) this.goTo(view.camera);
    else if (selection.kind === "channel") stay ? this.uncover(selection.channel) : this.fit(this.around(selection.channel), 0.16);
    else if (selection.kind === "compare") stay || this.fit(spread(selection.channels), 0.16);
    else if (selection.kind !== "none") stay || this.fit(this.membersOf(selection.group), 0.1);
  }

  zoom(factor: number): void {
    const camera = this.sigma.getCamera();
    this.animate({ ...camera.getState(), ratio: clamp(camera.ratio * factor, MIN_RATIO, MAX_RATIO) }, 180);
    this.restSoon();
  }

  pan(dx: number, dy: number): void {
    this.shift(dx, dy);
    this.restSoon();
  }

  private shift(dx: number, dy: number): void {
    const { width, height } = this.sigma.getDimensions();
    const camera = this.sigma.getCamera().getState();
    const from = this.sigma.viewportToFramedGraph({ x: 0, y: 0 });
    const to = this.sigma.viewportToFramedGraph({ x: dx * width, y: dy * height });
    this.animate({ ...camera, x: camera.x + to.x - from.x, y: camera.y + to.y - from.y }, 140);
  }

  private goTo({ x, y, zoom }: Camera): void {
    const base = { x: 0.5, y: 0.5, ratio: 1, angle: 0 };
    const goal = this.sigma.viewportToFramedGraph(this.sigma.graphToViewport({ x, y }, { cameraState: base }), { cameraState: base });
    this.animate({ ...goal, ratio: clamp(1 / zoom, MIN_RATIO, MAX_RATIO) }, 0);
  }

  private restSoon(): void {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      if (this.sigma.getCamera().isAnimated()) return this.restSoon();
      const { width, height } = this.sigma.getDimensions();
      const middle = this.sigma.viewportToGraph({ x: width / 2, y: height / 2 });
      this.hooks.moved({ ...middle, zoom: 1 / this.sigma.getCamera().ratio });
    }, REST_MS);
  }

  /** After something was laid over the map or taken away. */
  redrawNames(): void {
    this.drawLabels();
  }

  /** All the land, inside what the panels leave free; without land, every channel. */
  showAll(duration = 520): void {
    this.fit(this.mainland, 0.2, duration);
  }

  /** The channels that pass the filter, seen best. */
  goToPassing(): void {
    this.fit([...(this.emphasis.passing ?? [])].map((at) => this.atlas.channels[at]!), 0.1);
    this.restSoon();
  }

  private membersOf(group: Community | Region): Channel[] {
    return group.members.map((at) => this.atlas.channels[at]!);
  }

  /** A view with the channel in its middle and most of its strongest neighbours inside, as corner points. */
  private around(channel: Channel): Point[] {
    const far = this.emphasis.neighbours
      .slice(0, NAMES_OF_NEIGHBOURS)
      .map((neighbour) => Math.hypot(neighbour.channel.x - channel.x, neighbour.channel.y - channel.y))
      .sort((one, other) => one - other);
    const reach = far[Math.floor(0.6 * far.length)] ?? 0;
    return [
      { x: channel.x - reach, y: channel.y - reach },
      { x: channel.x + reach, y: channel.y + reach },
    ];
  }

  private look(at: number, data: NodeAttributes) {
    const channel = this.atlas.channels[at]!;
    const zIndex = this.emphasis.layerOf(channel);
    return { ...data, ...(zIndex === 0 ? faded : paint)(channel, this.colors), zIndex };
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
    clearTimeout(this.resting);
    this.ownMoves++;
    const done = () => this.ownMoves--;
    if (reducedMotion.matches || duration === 0) {
      camera.setState({ ...state, angle: 0 });
      done();
    } else void camera.animate({ ...state, angle: 0 }, { duration, easing: "cubicInOut" }).then(done);
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
    if (x !== point.x || y !== point.y) this.shift((point.x - x) / width, (point.y - y) / height);
  }

  // ---- the pointer

  private listen(): void {
    const { sigma } = this;
    sigma.on("afterRender", () => this.draw());
    sigma.on("clickStage", ({ event }) => {
      const name = this.nameAt(event.x, event.y);
      const disc = this.discAt(event.x, event.y);
      const group = name && !("name" in name) ? name : null;
      if (disc) return this.hooks.pick(group ?? disc, !group);
      const touch = "touches" in event.original;
      const target = name ?? this.channelNear(event.x, event.y, touch ? NEAR.touch : NEAR.mouse) ?? this.landAt(event.x, event.y);
      if (target) this.hooks.pick(target, "name" in target || !name);
      else this.hooks.pickNothing();
    });
    sigma.on("doubleClickStage", (event) => {
      if (this.discAt(event.event.x, event.event.y)) event.preventSigmaDefault();
    });
    sigma.getCamera().on("updated", () => {
      if (!this.ownMoves) this.restSoon();
    });
    sigma.on("moveBody", ({ event }) => {
      // Moves over what lies on the map are told, too.
      const disc = this.container.contains(event.original.target as Node) ? this.discAt(event.x, event.y) : null;
      this.hover(disc, this.groupAt(event.x, event.y));
    });
    sigma.on("leaveStage", () => this.hover(null, null));
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

  /** The disc on top of those that are drawn there. */
  private discAt(x: number, y: number): Channel | null {
    let [top, layer]: [Channel | null, number] = [null, -1];
    this.eachGap(x, y, (channel, gap) => {
      if (gap > 0) return;
      const own = this.emphasis.layerOf(channel);
      if (own >= layer) [top, layer] = [channel, own];
    });
    return top;
  }

  private channelNear(x: number, y: number, reach: number): Channel | null {
    let [nearest, least]: [Channel | null, number] = [null, reach];
    this.eachGap(x, y, (channel, gap) => {
      if (gap < least && this.emphasis.layerOf(channel) > 0) [nearest, least] = [channel, gap];
    });
    return nearest;
  }

  /** Each channel in the order of drawing, with the pixels from a place to its disc's rim, below 0 inside. */
  private eachGap(x: number, y: number, visit: (channel: Channel, gap: number) => void): void {
    const place = this.sigma.viewportToGraph({ x, y });
    const [pixels, radius] = [Math.abs(this.scale().scale.x), this.sigma.scaleSize(1)];
    for (const channel of this.atlas.channels) {
      visit(channel, Math.hypot(channel.x - place.x, channel.y - place.y) * pixels - this.sizes[channel.at]! * radius);
    }
  }

  /** The community whose land is there; the region while only its name is written. */
  private landAt(x: number, y: number): Community | Region | null {
    const point = this.sigma.viewportToGraph({ x, y });
    const community = this.land.communityAt(point.x, point.y);
    if (!community) return null;
    const written = (group: Community | Region) => this.placed.some(({ what }) => what.kind !== "channel" && what.group === group);
    return !written(community) && community.region && written(community.region) ? community.region : community;
  }

  private hover(channel: Channel | null, group: Community | Region | null): void {
    if (channel === this.hovered && group === this.hoveredGroup) return;
    [this.hovered, this.hoveredGroup] = [channel, group];
    this.cursor();
    this.drawLabels();
  }

  private cursor(): void {
    this.container.classList.toggle("pointing", Boolean(this.hovered ?? this.hoveredGroup));
  }

  // ---- drawing

  private draw(): void {
    this.land.show({ ...this.sigma.getDimensions(), ...this.scale(), density: density() }, { colors: this.colors, tint: (community) => this.emphasis.tintOf(community) });
    this.drawLinks();
    this.drawLabels();
  }

  /** A cleared canvas in CSS pixels. */
  private context(layer: keyof AtlasMap["canvases"]): CanvasRenderingContext2D {
    const canvas = this.canvases[layer];
    const { width, height } = this.sigma.getDimensions();
    const scale = density();
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    const context = canvas.getContext("2d")!;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  }

  /** Map units to pixels. */
  private scale() {
    const origin = this.sigma.graphToViewport({ x: 0, y: 0 });
    const unit = this.sigma.graphToViewport({ x: 1, y: 1 });
    return { scale: { x: unit.x - origin.x, y: unit.y - origin.y }, origin };
  }

  private drawLinks(): void {
    const context = this.context("links");
    const links = this.emphasis.links();
    const strongest = links.at(-1)?.amount ?? 1;
    context.lineCap = "round";
    for (const { from: one, to: channel, amount } of links) {
      const [from, to] = [this.sigma.graphToViewport(one), this.sigma.graphToViewport(channel)];
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
    const view = { left: 2, top: 2, right: width - 2, bottom: height - 2 };
    this.placed = place(this.wishes(), view, [...this.hooks.covered(), ...this.chosenDiscs()]);
    this.ring(context);
    context.lineJoin = "round";
    context.textBaseline = "middle";
    for (const { what, box } of [...this.placed].reverse()) {
      this.lettering.write(what, box, what.kind !== "channel" && what.group === this.hoveredGroup);
    }
  }

  /** No name is written over what is selected. */
  private chosenDiscs(): Box[] {
    return this.emphasis.chosen.map((channel) => {
      const { x, y } = this.sigma.graphToViewport(channel);
      const size = this.sigma.scaleSize(this.sizes[channel.at]!);
      return { left: x - size, right: x + size, top: y - size, bottom: y + size };
    });
  }

  private ring(context: CanvasRenderingContext2D): void {
    const circle = (channel: Channel, gap: number, width: number, color: string) => {
      const { x, y } = this.sigma.graphToViewport(channel);
      context.strokeStyle = color;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, this.sigma.scaleSize(this.sizes[channel.at]!) + gap, 0, 2 * Math.PI);
      context.stroke();
    };
    if (this.hovered) circle(this.hovered, 1.5, 2, this.colors.ink);
    const { selection, compared } = this.emphasis;
    if (selection.kind === "channel") {
      circle(selection.channel, 3.5, 4.5, this.colors.halo);
      circle(selection.channel, 3.5, 2.5, this.colors.accent);
    }
    compared.forEach((channel, at) => {
      circle(channel, 4, 6, this.colors.halo);
      circle(channel, 4, 4, this.colors.marks[at]!);
    });
  }

  /** The names that would like a place, the most important first. */
  private wishes(): Wish<Name>[] {
    const { selection, neighbours, chosen, lit } = this.emphasis;
    const wishes: Wish<Name>[] = [];
    const asked = new Set<Channel>();
    const ask = (channel: Channel, strong: boolean) => {
      if (asked.has(channel)) return;
      asked.add(channel);
      wishes.push(this.channelWish(channel, strong));
    };
    if (this.hovered) ask(this.hovered, true);
    for (const channel of chosen) ask(channel, true);
    if (selection.kind === "channel") {
      const near = neighbours.filter(({ channel }) => lit!.has(channel.at));
      for (const { channel } of near.slice(0, NAMES_OF_NEIGHBOURS)) ask(channel, false);
    }
    for (const region of this.atlas.regions) this.regionWish(region, wishes);
    for (const community of this.atlas.communities) this.communityWish(community, wishes);

    const { width, height } = this.sigma.getDimensions();
    const ratio = this.sigma.getCamera().ratio;
    // Names come with zoom: only discs of some size far out, every disc close by.
    const least = clamp(13 * Math.pow(ratio, 0.8), 2.2, 13);
    let left = 500;
    for (const channel of this.atlas.channels) {
      if (lit && !lit.has(channel.at)) continue;
      const many = !lit || selection.kind === "channel" || (ratio >= 0.5 && lit.size > FEW);
      if (many && this.sigma.scaleSize(this.sizes[channel.at]!) < least) continue;
      const point = this.sigma.graphToViewport(channel);
      if (point.x < 0 || point.y < 0 || point.x > width || point.y > height) continue;
      ask(channel, false);
      if (--left === 0) break;
    }
    return wishes;
  }

  private regionWish(region: Region, wishes: Wish<Name>[]): void {
    const anchor = this.territory.countryAnchors[region.at];
    if (!anchor) return;
    const { reach, view } = this.reach(anchor);
    // As large as the country has room for, down to a readable size.
    const perPixel = this.lettering.width("region", textOf(region), 1);
    const size = clamp(Math.min(0.34 * reach, (2.3 * reach) / perPixel), 10, 34);
    const alpha = 0.92 * ramp(reach, 14, 20) * (1 - ramp(reach, 0.42 * view, 0.62 * view)) * this.strengthOf(region);
    if (size * perPixel > 6 * reach || alpha < 0.05) return;
    wishes.push({ what: { kind: "region", group: region, size, alpha }, spots: this.spots(region, anchor, size) });
  }

  private communityWish(community: Community, wishes: Wish<Name>[]): void {
    const anchor = this.territory.provinceAnchors[community.at];
    if (!anchor) return;
    const { reach, view } = this.reach(anchor);
    const { selection } = this.emphasis;
    const chosen = selection.kind === "community" && selection.group === community;
    // A region of one community: one name is enough until the region's own fades.
    if (community.region?.communities.length === 1 && reach < 0.5 * view && !chosen) return;
    const size = clamp(0.13 * reach + 7, 11, 20);
    const fits = this.lettering.width("community", textOf(community), size) < 3.2 * reach;
    const alpha = chosen ? 1 : ramp(reach, 22, 30) * (1 - ramp(reach, 0.6 * view, 0.9 * view)) * this.strengthOf(community);
    if ((!fits && !chosen) || alpha < 0.05) return;
    wishes.push({ what: { kind: "community", group: community, size, alpha }, spots: this.spots(community, anchor, size) });
  }

  /** Radius in pixels of a disc of the named land's area, and of the view. */
  private reach(anchor: Anchor) {
    const scale = Math.abs(this.scale().scale.x);
    const { width, height } = this.sigma.getDimensions();
    return { reach: Math.sqrt(anchor.area / Math.PI) * scale, view: Math.min(width, height) };
  }

  private strengthOf(group: Community | Region): number {
    return group === this.hoveredGroup ? 1 : this.emphasis.strengthOf(group);
  }

  private spots(group: Community | Region, anchor: Anchor, size: number): Box[] {
    const { x, y } = this.sigma.graphToViewport(anchor);
    return this.lettering.spotsAt(group, x, y, size);
  }

  private channelWish(channel: Channel, strong: boolean): Wish<Name> {
    const { x, y } = this.sigma.graphToViewport(channel);
    const disc = this.sigma.scaleSize(this.sizes[channel.at]!);
    const size = strong ? 14 : clamp(9.5 + 0.22 * disc, 10.5, 14);
    const spots = this.lettering.spotsBeside(channel, x, y, disc, size, strong);
    return { what: { kind: "channel", channel, size, alpha: 1, strong }, spots };
  }

}

/** Corners of a box round the places with some room, so that discs at its border are seen whole. */
function spread(places: Point[]): Point[] {
  const [xs, ys] = [places.map(({ x }) => x), places.map(({ y }) => y)];
  const room = 0.12 * Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
  return [
    { x: Math.min(...xs) - room, y: Math.min(...ys) - room },
    { x: Math.max(...xs) + room, y: Math.max(...ys) + room },
  ];
}

/** The screen's pixels to one of the page's, as many as are worth drawing. */
const density = () => Math.min(window.devicePixelRatio || 1, 2);
const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
const ramp = (value: number, low: number, high: number) => clamp((value - low) / (high - low), 0, 1);
