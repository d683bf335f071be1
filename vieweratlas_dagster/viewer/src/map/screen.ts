/** Sizes on the screen, in pixels, under sigma's camera. */
import type Sigma from "sigma";
import type { Channel } from "../data/data";
import type { NodeAttributes } from "./graph";
import type { Scene } from "./scene";

/** Pixels per map unit, and the pixel of the map's origin. */
export function mapScale(sigma: Sigma<NodeAttributes>) {
  const origin = sigma.graphToViewport({ x: 0, y: 0 });
  const unit = sigma.graphToViewport({ x: 1, y: 1 });
  return { scale: { x: unit.x - origin.x, y: unit.y - origin.y }, origin };
}

/** The radius of a channel's disc. */
export const discRadius = (sigma: Sigma<NodeAttributes>, scene: Scene, channel: Channel) => sigma.scaleSize(scene.radii[channel.at]!);
