/**
 * The channels as sigma's graph: position, size by audience, colour by community.
 *
 * In an atlas without audiences, the size grows with the number of neighbours. The graph contains only nodes;
 * strokes.ts draws the selection's lines on a canvas, where they can be thin and translucent.
 */
import Graph from "graphology";
import type { Atlas, Channel } from "../data/data";
import { mix } from "./color";
import type { Colors } from "./theme";

export interface NodeAttributes {
  x: number;
  y: number;
  size: number;
  color: string;
  rim: string;
  zIndex: number;
}

export const colorOf = (channel: Channel, colors: Colors) => channel.community?.color ?? colors.lone;

/** The smallest and largest radius in pixels, for a number of discs on an area in square pixels. */
export function radii(channels: number, area: number): [number, number] {
  const spacing = Math.sqrt(area / Math.max(channels, 1));
  return [Math.min(Math.max(0.07 * spacing, 1.1), 4), Math.min(Math.max(0.72 * spacing, 7), 24)];
}

/** The radius of a disc whose area grows with the value; an unknown value gets the smallest. */
export function radius(value: number | null, largest: number, [least, most]: [number, number]): number {
  return value && largest ? Math.max(least, most * Math.sqrt(value / largest)) : least;
}

export function buildGraph(atlas: Atlas, area: number, colors: Colors): Graph<NodeAttributes> {
  const graph = new Graph<NodeAttributes>({ type: "undirected", multi: false, allowSelfLoops: false });
  const limits = radii(atlas.channels.length, area);
  const measure = (channel: Channel) => (atlas.knows.viewers ? channel.viewers : channel.neighbours);
  const largest = atlas.channels.reduce((most, channel) => Math.max(most, measure(channel) ?? 0), 0);
  for (const channel of atlas.channels) {
    graph.addNode(String(channel.at), {
      x: channel.x,
      y: channel.y,
      size: radius(measure(channel), largest, limits),
      ...paint(channel, colors),
      zIndex: 0,
    });
  }
  return graph;
}

export function paint(channel: Channel, colors: Colors): { color: string; rim: string } {
  const color = colorOf(channel, colors);
  return { color, rim: colors.dark ? mix(color, "#0b1118", 0.55) : mix(color, "#ffffff", 0.72) };
}

/** The colours of a channel outside the selection. */
export function faded(channel: Channel, colors: Colors): { color: string; rim: string } {
  const color = mix(mix(colors.paper, colorOf(channel, colors), 0.14), colors.muted, 0.2);
  return { color, rim: color };
}
