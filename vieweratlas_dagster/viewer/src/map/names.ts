/**
 * The names on the map: chooses them by importance and zoom, has them placed, and draws them.
 *
 * Fonts and spots of a single name are in lettering.ts, the placing in label-placement.ts.
 */
import type Sigma from "sigma";
import type { Channel, Community, Region } from "../data/data";
import { cleared, density } from "./canvas";
import { NEIGHBOURS_NAMED } from "./emphasis";
import type { NodeAttributes } from "./graph";
import { type Box, contains, place, type Placed, type Wish } from "./label-placement";
import { Lettering, type Name, textOf } from "./lettering";
import { clamp, ramp } from "./limits";
import type { Scene } from "./scene";
import { discRadius, mapScale } from "./screen";
import { drawRings } from "./strokes";
import type { Anchor } from "./territory";

const CHANNELS_NAMED = 500;
// Up to this many lit channels are all named where there is room.
const FEW = 60;

export class Names {
  private readonly lettering: Lettering;
  private placed: Placed<Name>[] = [];

  /** `covered`: boxes in pixels of the map where no name may stand, because something lies over them. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly sigma: Sigma<NodeAttributes>,
    private readonly scene: Scene,
    private readonly covered: () => Box[],
  ) {
    this.lettering = new Lettering(canvas.getContext("2d")!, scene.colors);
  }

  /** Forgets the drawn names, for a different day's map. */
  clear(): void {
    this.placed = [];
  }

  recolor(): void {
    this.lettering.setColors(this.scene.colors);
  }

  draw(): void {
    const { width, height } = this.sigma.getDimensions();
    const context = cleared(this.canvas, width, height, density());
    const view = { left: 2, top: 2, right: width - 2, bottom: height - 2 };
    this.placed = place(this.wishes(), view, [...this.covered(), ...this.chosenDiscs()]);
    drawRings(context, this.sigma, this.scene);
    context.lineJoin = "round";
    context.textBaseline = "middle";
    for (const { what, box } of [...this.placed].reverse()) {
      this.lettering.write(what, box, what.kind !== "channel" && what.group === this.scene.hoveredGroup);
    }
  }

  /** The channel or group whose name is drawn at a pixel. */
  at(x: number, y: number): Channel | Community | Region | null {
    const found = this.placed.find(({ box, what }) => what.alpha > 0.3 && contains(box, x, y));
    if (!found) return null;
    return found.what.kind === "channel" ? found.what.channel : found.what.group;
  }

  isDrawn(group: Community | Region): boolean {
    return this.placed.some(({ what }) => what.kind !== "channel" && what.group === group);
  }

  /** The boxes of the chosen channels' discs, which names must not cover. */
  private chosenDiscs(): Box[] {
    return this.scene.emphasis.chosen.map((channel) => {
      const { x, y } = this.sigma.graphToViewport(channel);
      const radius = discRadius(this.sigma, this.scene, channel);
      return { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius };
    });
  }

  /** The names that want a spot, the most important first. */
  private wishes(): Wish<Name>[] {
    const { atlas, hoveredChannel, emphasis } = this.scene;
    const { selection, neighbours, chosen, lit } = emphasis;
    const wishes: Wish<Name>[] = [];
    const asked = new Set<Channel>();
    const ask = (channel: Channel, strong: boolean) => {
      if (asked.has(channel)) return;
      asked.add(channel);
      wishes.push(this.channelWish(channel, strong));
    };
    if (hoveredChannel) ask(hoveredChannel, true);
    for (const channel of chosen) ask(channel, true);
    if (selection.kind === "channel") {
      const near = neighbours.filter(({ channel }) => lit!.has(channel.at));
      for (const { channel } of near.slice(0, NEIGHBOURS_NAMED)) ask(channel, false);
    }
    for (const region of atlas.regions) this.regionWish(region, wishes);
    for (const community of atlas.communities) this.communityWish(community, wishes);

    const { width, height } = this.sigma.getDimensions();
    const ratio = this.sigma.getCamera().ratio;
    // Zoomed out, only larger discs are named; zoomed in, every disc.
    const least = clamp(13 * Math.pow(ratio, 0.8), 2.2, 13);
    let left = CHANNELS_NAMED;
    for (const channel of atlas.channels) {
      if (lit && !lit.has(channel.at)) continue;
      const many = !lit || selection.kind === "channel" || (ratio >= 0.5 && lit.size > FEW);
      if (many && discRadius(this.sigma, this.scene, channel) < least) continue;
      const point = this.sigma.graphToViewport(channel);
      if (point.x < 0 || point.y < 0 || point.x > width || point.y > height) continue;
      ask(channel, false);
      if (--left === 0) break;
    }
    return wishes;
  }

  private regionWish(region: Region, wishes: Wish<Name>[]): void {
    const anchor = this.scene.territory.countryAnchors[region.at];
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
    const anchor = this.scene.territory.provinceAnchors[community.at];
    if (!anchor) return;
    const { reach, view } = this.reach(anchor);
    const { selection } = this.scene.emphasis;
    const chosen = selection.kind === "community" && selection.group === community;
    // A region of one community: one name is enough until the region's own fades.
    if (community.region?.communities.length === 1 && reach < 0.5 * view && !chosen) return;
    const size = clamp(0.13 * reach + 7, 11, 20);
    const fits = this.lettering.width("community", textOf(community), size) < 3.2 * reach;
    const alpha = chosen ? 1 : ramp(reach, 22, 30) * (1 - ramp(reach, 0.6 * view, 0.9 * view)) * this.strengthOf(community);
    if ((!fits && !chosen) || alpha < 0.05) return;
    wishes.push({ what: { kind: "community", group: community, size, alpha }, spots: this.spots(community, anchor, size) });
  }

  private channelWish(channel: Channel, strong: boolean): Wish<Name> {
    const { x, y } = this.sigma.graphToViewport(channel);
    const radius = discRadius(this.sigma, this.scene, channel);
    const size = strong ? 14 : clamp(9.5 + 0.22 * radius, 10.5, 14);
    const spots = this.lettering.spotsBeside(channel, x, y, radius, size, strong);
    return { what: { kind: "channel", channel, size, alpha: 1, strong }, spots };
  }

  /** Radius in pixels of a disc with the named land's area, and the shorter side of the view. */
  private reach(anchor: Anchor) {
    const scale = Math.abs(mapScale(this.sigma).scale.x);
    const { width, height } = this.sigma.getDimensions();
    return { reach: Math.sqrt(anchor.area / Math.PI) * scale, view: Math.min(width, height) };
  }

  private strengthOf(group: Community | Region): number {
    return group === this.scene.hoveredGroup ? 1 : this.scene.emphasis.strengthOf(group);
  }

  private spots(group: Community | Region, anchor: Anchor, size: number): Box[] {
    const { x, y } = this.sigma.graphToViewport(anchor);
    return this.lettering.spotsAt(group, x, y, size);
  }
}
