/** The pointer on the map: finds the channel or group under it, and reports clicks and hovering. */
import type Sigma from "sigma";
import type { Channel, Community, Region } from "../data/data";
import type { NodeAttributes } from "./graph";
import type { Names } from "./names";
import type { Scene } from "./scene";
import { mapScale } from "./screen";

export interface PointerHooks {
  /** `stay`: the view should not move for it. */
  pick(target: Channel | Community | Region, stay: boolean): void;
  pickNothing(): void;
}

// How far beside a disc a click still means it, in pixels: fingers are wider than pointers.
const NEAR = { mouse: 6, touch: 16 };

export class Pointer {
  constructor(
    private readonly container: HTMLElement,
    private readonly sigma: Sigma<NodeAttributes>,
    private readonly scene: Scene,
    private readonly names: Names,
    private readonly hooks: PointerHooks,
  ) {}

  listen(): void {
    const { container, names, sigma } = this;
    sigma.on("clickStage", ({ event }) => this.click(event.x, event.y, "touches" in event.original));
    sigma.on("doubleClickStage", (event) => {
      if (this.discAt(event.event.x, event.event.y)) event.preventSigmaDefault();
    });
    sigma.on("moveBody", ({ event }) => {
      // Sigma also reports moves over the page's boxes on the map.
      const disc = container.contains(event.original.target as Node) ? this.discAt(event.x, event.y) : null;
      const name = names.at(event.x, event.y);
      this.hover(disc, name && isGroup(name) ? name : null);
    });
    sigma.on("leaveStage", () => this.hover(null, null));
  }

  private click(x: number, y: number, touch: boolean): void {
    const name = this.names.at(x, y);
    const disc = this.discAt(x, y);
    const group = name && isGroup(name) ? name : null;
    if (disc) return this.hooks.pick(group ?? disc, !group);
    const target = name ?? this.channelNear(x, y, touch ? NEAR.touch : NEAR.mouse) ?? this.landAt(x, y);
    if (target) this.hooks.pick(target, !isGroup(target) || !name);
    else this.hooks.pickNothing();
  }

  private hover(channel: Channel | null, group: Community | Region | null): void {
    const { scene } = this;
    if (channel === scene.hoveredChannel && group === scene.hoveredGroup) return;
    [scene.hoveredChannel, scene.hoveredGroup] = [channel, group];
    this.container.classList.toggle("pointing", Boolean(channel ?? group));
    this.names.draw();
  }

  /** The topmost disc at a pixel. */
  private discAt(x: number, y: number): Channel | null {
    let [top, layer]: [Channel | null, number] = [null, -1];
    this.eachGap(x, y, (channel, gap) => {
      if (gap > 0) return;
      const own = this.scene.emphasis.layerOf(channel);
      if (own >= layer) [top, layer] = [channel, own];
    });
    return top;
  }

  private channelNear(x: number, y: number, reach: number): Channel | null {
    let [nearest, least]: [Channel | null, number] = [null, reach];
    this.eachGap(x, y, (channel, gap) => {
      if (gap < least && this.scene.emphasis.layerOf(channel) > 0) [nearest, least] = [channel, gap];
    });
    return nearest;
  }

  /** Visits the channels in drawing order, with the pixels from (x, y) to the disc's rim, negative inside. */
  private eachGap(x: number, y: number, visit: (channel: Channel, gap: number) => void): void {
    const place = this.sigma.viewportToGraph({ x, y });
    const [pixels, radius] = [Math.abs(mapScale(this.sigma).scale.x), this.sigma.scaleSize(1)];
    for (const channel of this.scene.atlas.channels) {
      visit(channel, Math.hypot(channel.x - place.x, channel.y - place.y) * pixels - this.scene.radii[channel.at]! * radius);
    }
  }

  /** The community whose land is at a pixel, or its region while only the region's name is drawn. */
  private landAt(x: number, y: number): Community | Region | null {
    const place = this.sigma.viewportToGraph({ x, y });
    const community = this.scene.land.communityAt(place.x, place.y);
    if (!community) return null;
    const { region } = community;
    return !this.names.isDrawn(community) && region && this.names.isDrawn(region) ? region : community;
  }
}

const isGroup = (target: Channel | Community | Region): target is Community | Region => !("name" in target);
