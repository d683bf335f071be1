/** The state that the map draws: a day's atlas and land, the emphasis, the colours, and the hovered disc or name. */
import type { Atlas, Channel, Community, Region } from "../data/data";
import { Emphasis } from "./emphasis";
import { buildGraph, faded, type NodeAttributes, paint } from "./graph";
import { Land } from "./land";
import { buildTerritory, type Territory } from "./territory";
import type { Colors } from "./theme";

export class Scene {
  emphasis!: Emphasis;
  territory!: Territory;
  land!: Land;
  /** The channels on land, or all channels of a map without land. */
  mainland!: Channel[];
  /** Radius in pixels by channel, before any zoom. */
  radii: number[] = [];
  hoveredChannel: Channel | null = null;
  hoveredGroup: Community | Region | null = null;

  constructor(
    public atlas: Atlas,
    public colors: Colors,
    private readonly canvas: HTMLCanvasElement,
  ) {
    this.setAtlas(atlas);
  }

  setAtlas(atlas: Atlas): void {
    this.atlas = atlas;
    this.emphasis = new Emphasis(atlas);
    [this.hoveredChannel, this.hoveredGroup] = [null, null];
    this.territory = buildTerritory(
      atlas.channels.map((channel) => ({ x: channel.x, y: channel.y, community: channel.community?.at ?? -1 })),
      atlas.communities.length,
      atlas.communities.map((community) => community.region?.at ?? -1),
      atlas.regions.length,
    );
    this.land?.stale();
    this.land = new Land(this.canvas, atlas, this.territory);
    const settled = atlas.channels.filter((channel) => channel.community);
    this.mainland = settled.length ? settled : atlas.channels;
  }

  /** The channels as discs that suit a stage of `area` square pixels. */
  discs(area: number) {
    const graph = buildGraph(this.atlas, area, this.colors);
    // Kept apart because sigma copies all attributes of a disc for each reading.
    this.radii = this.atlas.channels.map(({ at }) => graph.getNodeAttribute(String(at), "size"));
    return graph;
  }

  /** A disc as sigma draws it under the present emphasis. */
  look(at: number, data: NodeAttributes) {
    const channel = this.atlas.channels[at]!;
    const zIndex = this.emphasis.layerOf(channel);
    return { ...data, ...(zIndex === 0 ? faded : paint)(channel, this.colors), zIndex };
  }
}
