/** The strokes on the map: lines between channels, and rings around discs. */
import type Sigma from "sigma";
import type { Channel } from "../data/data";
import { mix } from "./color";
import { colorOf, type NodeAttributes } from "./graph";
import type { Scene } from "./scene";
import { discRadius } from "./screen";

/** The lines of the selection, bent slightly; the more two channels share, the wider. */
export function drawLinks(context: CanvasRenderingContext2D, sigma: Sigma<NodeAttributes>, { emphasis, colors }: Scene): void {
  const links = emphasis.links();
  const strongest = links.at(-1)?.amount ?? 1;
  context.lineCap = "round";
  for (const link of links) {
    const [from, to] = [sigma.graphToViewport(link.from), sigma.graphToViewport(link.to)];
    const share = Math.sqrt(link.amount / strongest);
    context.strokeStyle = mix(colorOf(link.to, colors), colors.ink, 0.25);
    context.globalAlpha = 0.22 + 0.5 * share;
    context.lineWidth = 0.8 + 3.4 * share * share;
    context.beginPath();
    context.moveTo(from.x, from.y);
    const [bendX, bendY] = [(to.y - from.y) * 0.12, (from.x - to.x) * 0.12];
    context.quadraticCurveTo((from.x + to.x) / 2 + bendX, (from.y + to.y) / 2 + bendY, to.x, to.y);
    context.stroke();
  }
}

/** Rings around the hovered, the selected and the compared discs. */
export function drawRings(context: CanvasRenderingContext2D, sigma: Sigma<NodeAttributes>, scene: Scene): void {
  const { colors, hoveredChannel } = scene;
  const { selection, compared } = scene.emphasis;
  const ring = (channel: Channel, gap: number, width: number, color: string) => {
    const { x, y } = sigma.graphToViewport(channel);
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, discRadius(sigma, scene, channel) + gap, 0, 2 * Math.PI);
    context.stroke();
  };
  if (hoveredChannel) ring(hoveredChannel, 1.5, 2, colors.ink);
  if (selection.kind === "channel") {
    ring(selection.channel, 3.5, 4.5, colors.halo);
    ring(selection.channel, 3.5, 2.5, colors.accent);
  }
  compared.forEach((channel, at) => {
    ring(channel, 4, 6, colors.halo);
    ring(channel, 4, 4, colors.marks[at]!);
  });
}
